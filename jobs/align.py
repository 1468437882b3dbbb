"""Tune the encoder on the item pairs that the judge kept.

    python -m jobs.align --day 2026-11-20

Reads silver.item_pairs, silver.items. Writes the tuned encoder to `<LAKE>/models/encoders/<encoder_version>`, the
vectors of the whole catalogue to gold.item_embeddings and, last, whether it finds the partners of held-out pairs
better than the live encoder, and so takes its place, to gold.encoders, partition day. It starts from the encoder of
the settings each time, so that the same pairs give the same encoder. Interrupted, it goes on where it stopped.
"""

import hashlib
import json
import shutil
import tempfile
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.ask import KEY, load_asker
from jobs.embed import embed_missing
from jobs.encoders.location import EncoderRef
from jobs.encoders.tuned_encoders import (
    TABLE,
    Pairs,
    base_encoder,
    folder_name,
    keep_pairs,
    kept_pairs,
    live_encoder,
    located,
    pairs_of,
    places,
    tuned_before,
)
from jobs.encoders.vectors import current_vectors
from jobs.lake import JobResult, Lake
from jobs.lake.contracts import contracts
from jobs.release.model_store import store_folder, stored
from jobs.runtime.entry import main
from jobs.settings.tree import Settings

COMPARED = 10_000  # held-out pairs at most


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    if not settings.align.every_days:
        return JobResult(notes={"skipped": "align.every_days is 0: the encoder is as it came"})
    base = base_encoder(settings)
    pairs, held_out = kept_pairs(lake, settings, day)
    items = item_texts(lake, settings, pairs)
    version = aligned_version(base, pairs, items, settings)
    if reason := unchanged(lake, settings, day, version, len(pairs)):
        return JobResult(notes={"skipped": reason})
    tune_encoder(lake, settings, base, pairs, items, version)
    live, tuned = live_encoder(lake, settings, day - timedelta(days=1)), located(lake, version)
    held_out = Random(0).sample(held_out, min(len(held_out), COMPARED))
    known = sorted({*pairs_of(tuned), *pairs_of(live)})
    found = {}
    for name, encoder in (("hr_at_10", tuned), ("hr_at_10_live", live)):
        embed_missing(lake, settings, encoder, day)
        found[name] = hit_rate(lake, encoder, held_out, known)
    told = {"pairs": len(pairs), "held_out": len(held_out), **found, "live": found["hr_at_10"] > found["hr_at_10_live"]}
    row = {"encoder_version": version, "base_version": base.version, **told, "day": day}
    lake.replace(TABLE, pa.Table.from_pylist([row], contracts()[TABLE].arrow), day=day)
    return JobResult(len(pairs), len(pairs), notes={"encoder_version": version, **told})


def hit_rate(lake: Lake, encoder: EncoderRef, held_out: Pairs, known: Pairs) -> float:
    """HR@10 of an encoder on pairs that none was tuned on, among all items but those of known pairs."""
    from models.encoder.retrieval import hit_rates

    items, vectors = current_vectors(lake, encoder.version)
    return hit_rates(vectors, places(held_out, items), (10,), known=places(known, items))[10]


def item_texts(lake: Lake, settings: Settings, pairs: Pairs) -> pa.Table:
    """Items of the pairs, sorted by item_id: item_id, text, image, questions (a list of question and answer)."""
    wanted = pa.array(sorted({item for pair in pairs for item in pair}), pa.string())
    items = lake.arrow("silver.items", ["item_id", "content_hash", "text", "image"], ds.field("item_id").isin(wanted))
    mine = ds.field("item_id").isin(wanted) & (ds.field("asker_version") == load_asker(settings).version)
    rows = lake.arrow("silver.item_questions", [*KEY, "number", "question", "answer"], mine & (ds.field("number") > 0))
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in rows.sort_by([("item_id", "ascending"), ("number", "ascending")]).to_pylist():
        found.setdefault((row["item_id"], row["content_hash"]), []).append((row["question"], row["answer"]))
    items = items.sort_by("item_id")
    keys = zip(items["item_id"].to_pylist(), items["content_hash"].to_pylist(), strict=True)
    asked = pa.array([found.get(key, []) for key in keys], pa.list_(pa.list_(pa.string())))
    return items.append_column("questions", asked)


def aligned_version(base: EncoderRef, pairs: Pairs, items: pa.Table, settings: Settings) -> str:
    """The base encoder, and a digest of all that tuning it depends on."""
    how = settings.align.model_dump(exclude={"every_days", "min_pairs", "ranks"})
    told = json.dumps([how, pairs, items.drop_columns("image").to_pydict()])  # content_hash stands for the image
    return f"{base.version}-aligned-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def unchanged(lake: Lake, settings: Settings, day: date, version: str, pairs: int) -> str | None:
    """Why there is nothing to tune on this day, None if there is."""
    align = settings.align
    embedded = (ds.field("job") == "embed") & (ds.field("day") > day)
    if lake.arrow("gold.metrics", ["day"], embedded).num_rows:
        return "a later day has run already: what was live on this day stays as it is"
    if pairs < align.min_pairs:
        return f"{pairs:,} pairs were kept to tune on, fewer than align.min_pairs = {align.min_pairs:,}"
    before = tuned_before(lake, settings, day)
    if any(row["encoder_version"] == version for row in before):
        return f"{version} was tuned on the same pairs already"
    if before and day - before[0]["day"] < timedelta(days=align.every_days) and before[0]["day"] != day:
        return f"tuned on {before[0]['day']}, less than align.every_days = {align.every_days} days ago"
    return None


def tune_encoder(lake: Lake, settings: Settings, base: EncoderRef, pairs: Pairs, items: pa.Table, version: str) -> None:
    """Tune and store, unless that was done before."""
    from jobs.encoders.tuning_worker import tune_in  # heavy: only when there is something to tune

    if not stored(lake, folder_name(version)):
        lakes = hashlib.sha256(lake.root.encode()).hexdigest()[:8]  # which do not wait for one another
        work = Path(tempfile.gettempdir()) / f"sidereal-{lakes}-{version}"
        made = tune_in(work, settings, base, pairs, items)
        keep_pairs(made, pairs)
        store_folder(lake, made, folder_name(version))
        shutil.rmtree(work)


if __name__ == "__main__":
    main(run)
