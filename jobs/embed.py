"""Embed the items whose text, image or encoder changed.

    python -m jobs.embed --day 2026-11-20

Reads silver.items, gold.encoders and gold.releases. Writes gold.item_embeddings, partition (encoder_version, day), a
chunk of items at a time, so that an interrupted run continues where it stopped. Items get the vectors of the live
encoder. After the live encoder changed, they also get the vectors of the encoder that the live model was trained with.
"""

from datetime import date

import pyarrow.dataset as ds

from jobs.encoders.embedding import TABLE, embed_missing
from jobs.encoders.tuned_encoders import base_encoder, champion_encoder, live_encoder
from jobs.lake import JobResult, Lake
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.runtime.entry import main
from jobs.settings.tree import Settings


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    encoder = live_encoder(lake, settings, day)
    items, embedded = embed_missing(lake, settings, encoder, day)
    others = {}
    # The similarity judge uses the base encoder: an encoder that was tuned on its verdicts would agree with it.
    if settings.judge.kind == "similarity" and (base := base_encoder(settings)) != encoder:
        others[base] = settings
    # The champion is served with the encoder that it was trained with, until a challenger goes live.
    if champion := champion_encoder(lake, settings, day, encoder):
        others[champion[0]] = champion[1]
    embedded_by_others = sum(embed_missing(lake, with_limit, other, day)[1] for other, with_limit in others.items())
    of_day = (ds.field("encoder_version") == encoder.version) & (ds.field("day") == day)
    values = {"items_embedded": lake.arrow(TABLE, ["item_id"], of_day).num_rows}
    replace_metrics(lake, "embed", day, metric_rows("encoder", "all", values, version=encoder.version))
    notes = {"encoder_version": encoder.version}
    if not embedded + embedded_by_others:
        notes["skipped"] = f"every item text has its vector of {encoder.version}"
    return JobResult(items, embedded, 0, items - embedded, notes)


if __name__ == "__main__":
    main(run)
