"""Tune the encoder on the item pairs that the judge kept.

    python -m jobs.align --day 2026-11-20

Reads silver.item_pairs, silver.items and silver.item_questions. Writes the tuned encoder to
`<LAKE>/models/encoders/<encoder_version>` and the vectors of all items to gold.item_embeddings. The last step writes to
gold.encoders, partition day: whether the tuned encoder finds the partners of held-out pairs better than the live
encoder, and therefore replaces it.

Tuning always starts from the encoder of the settings, so that the same pairs give the same encoder. An interrupted run
continues where it stopped.
"""

from datetime import date, timedelta
from random import Random

import pyarrow as pa

from jobs.encoders.embedding import embed_missing
from jobs.encoders.tuned_encoders import TABLE, base_encoder, live_encoder, tuned_encoder
from jobs.encoders.tuning import find_skip_reason, measure_hit_rate, tune_encoder, tuned_version
from jobs.encoders.tuning_data import load_kept_pairs, load_tuning_items, read_tuning_pairs
from jobs.lake import JobResult, Lake
from jobs.lake.contracts import contracts
from jobs.runtime.entry import main
from jobs.settings.tree import Settings

MOST_HELD_OUT = 10_000  # pairs that the two encoders are compared on


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    if not settings.align.every_days:
        return JobResult(notes={"skipped": "align.every_days is 0: the encoder is not tuned"})
    base = base_encoder(settings)
    pairs, held_out = load_kept_pairs(lake, settings, day)
    items = load_tuning_items(lake, settings, pairs)
    version = tuned_version(base, pairs, items, settings)
    if reason := find_skip_reason(lake, settings, day, version, len(pairs)):
        return JobResult(notes={"skipped": reason})
    tune_encoder(lake, settings, base, pairs, items, version)
    live, tuned = live_encoder(lake, settings, day - timedelta(days=1)), tuned_encoder(lake, version)
    held_out = Random(0).sample(held_out, min(len(held_out), MOST_HELD_OUT))
    known = sorted({*read_tuning_pairs(tuned), *read_tuning_pairs(live)})
    rates = {}
    for name, encoder in (("hr_at_10", tuned), ("hr_at_10_live", live)):
        embed_missing(lake, settings, encoder, day)
        rates[name] = measure_hit_rate(lake, encoder, held_out, known)
    is_better = rates["hr_at_10"] > rates["hr_at_10_live"]
    values = {"pairs": len(pairs), "held_out": len(held_out), **rates, "live": is_better}
    row = {"encoder_version": version, "base_version": base.version, **values, "day": day}
    lake.replace(TABLE, pa.Table.from_pylist([row], contracts()[TABLE].arrow), day=day)
    return JobResult(len(pairs), len(pairs), notes={"encoder_version": version, **values})


if __name__ == "__main__":
    main(run)
