"""Tune an encoder: whether there is something to tune, the version of the result, and how good it is."""

import hashlib
import json
import shutil
import tempfile
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.encoders.location import EncoderRef
from jobs.encoders.tuned_encoders import encoder_folder, load_tunings
from jobs.encoders.tuning_data import Pairs, index_pairs, save_tuning_pairs
from jobs.encoders.vectors import current_vectors
from jobs.lake import Lake
from jobs.release.model_store import is_stored, store_folder
from jobs.settings.tree import Settings


def tuned_version(base: EncoderRef, pairs: Pairs, items: pa.Table, settings: Settings) -> str:
    """The version of the base encoder, and a digest of everything that tuning it depends on."""
    plan = settings.align.model_dump(exclude={"every_days", "min_pairs", "workers"})
    inputs = json.dumps([plan, pairs, items.drop_columns("image").to_pydict()])  # content_hash covers the image
    return f"{base.version}-aligned-{hashlib.sha256(inputs.encode()).hexdigest()[:8]}"


def find_skip_reason(lake: Lake, settings: Settings, day: date, version: str, pairs: int) -> str | None:
    """Why no encoder is tuned on this day; None if one is."""
    align = settings.align
    embedded_later = (ds.field("job") == "embed") & (ds.field("day") > day)
    if lake.arrow("gold.metrics", ["day"], embedded_later).num_rows:
        return "a later day has run already: the encoder that was live on this day does not change"
    if pairs < align.min_pairs:
        return f"the judge kept {pairs:,} pairs to tune on, fewer than align.min_pairs = {align.min_pairs:,}"
    tunings = load_tunings(lake, settings, day)
    if any(row["encoder_version"] == version for row in tunings):
        return f"{version} was tuned on the same pairs already"
    if tunings and day - tunings[0]["day"] < timedelta(days=align.every_days) and tunings[0]["day"] != day:
        return f"tuned on {tunings[0]['day']}, less than align.every_days = {align.every_days} days ago"
    return None


def tune_encoder(lake: Lake, settings: Settings, base: EncoderRef, pairs: Pairs, items: pa.Table, version: str) -> None:
    """Tune an encoder and store it, unless it is stored already."""
    from jobs.encoders.tuning_worker import tune_in_folder  # slow to import: only if there is something to tune

    if not is_stored(lake, encoder_folder(version)):
        lake_hash = hashlib.sha256(lake.root.encode()).hexdigest()[:8]  # two lakes may tune the same version at a time
        folder = Path(tempfile.gettempdir()) / f"sidereal-{lake_hash}-{version}"
        model = tune_in_folder(folder, settings, base, pairs, items)
        save_tuning_pairs(model, pairs)
        store_folder(lake, model, encoder_folder(version))
        shutil.rmtree(folder)


def measure_hit_rate(lake: Lake, encoder: EncoderRef, held_out: Pairs, known: Pairs) -> float:
    """HR@10 of an encoder on pairs that no encoder was tuned on, among all items without the partners of known pairs.

    held_out  pairs to search for
    known     pairs that some encoder was tuned on
    """
    from models.encoder.retrieval import hit_rates

    items, vectors = current_vectors(lake, encoder.version)
    return hit_rates(vectors, index_pairs(held_out, items), (10,), known=index_pairs(known, items))[10]
