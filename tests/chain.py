"""Five simulated days through every job, which tests then look at from several sides."""

import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs import (
    align,
    ask,
    embed,
    evaluate,
    generate,
    ingest,
    judge,
    pairs,
    promote,
    quantize,
    recommend,
    samples,
    train,
    two_tower,
)
from jobs.lake import JobResult, Lake
from jobs.lake.contracts import contracts
from jobs.ranking.dataset import load_dataset
from jobs.ranking.items import load_item_features
from jobs.ranking.model_inputs import build_model_inputs
from jobs.settings.tree import Settings, load_settings
from jobs.simulation.landing import write_landing
from models.ranker.design import PRESETS, Design
from tests.jobs.lake_rows import put_histories

LAST = date(2026, 11, 20)
DAYS = [LAST - timedelta(days=n) for n in (4, 3, 2, 1, 0)]
AFTER_SAMPLES = (
    pairs, two_tower, embed, judge, ask, align, quantize, generate, train, evaluate, recommend, promote,
)  # fmt: skip
NOT_CONTENT = {"run_id", "tables", "file"}  # differ from run to run by design
SMALL = {
    "SIDEREAL_TWO_TOWER__EPOCHS": "1",
    "SIDEREAL_QUANTIZER__SIZES": "[16,16,64]",
    "SIDEREAL_QUANTIZER__FSQ_STEPS": "100",
    "SIDEREAL_RANKER__EPOCHS": "4",
    "SIDEREAL_RANKER__BATCH": "128",
    "SIDEREAL_RANKER__GSU_DIM": "32",
    "SIDEREAL_GENERATOR__EPOCHS": "2",
    "SIDEREAL_GATE__MAX_DROP": "1.0",  # so that the last day has a release of its own to roll back
    "SIDEREAL_GATE__MAX_LOSS_RISE": "1.0",
    "SIDEREAL_GATE__MAX_MISCALIBRATION": "9",
}


@dataclass(frozen=True)
class Chain:
    lake: Lake
    settings: Settings
    landing: Path
    before: Path  # the lake as it was before the last day
    content: dict[str, str]  # of its tables after the last day
    trained: dict[date, JobResult]  # the result of train on each day


def run_day(lake: Lake, settings: Settings, day: date, data: Path, since: date | None = None) -> JobResult:
    """Run every job of a day. Returns the result of train."""
    ingest.run(lake, settings, day, data=data, since=since)
    samples.run(lake, settings, day, since=since)
    results: dict[object, JobResult] = {job: job.run(lake, settings, day) for job in AFTER_SAMPLES}
    return results[train]


def content(lake: Lake) -> dict[str, str]:
    """Return a hash of the sorted rows of every table that is not a log."""
    hashes = {}
    for name in sorted(contracts().keys() - {"ops.runs"}):
        columns = [c for c in contracts()[name].names if c not in NOT_CONTENT]
        rows = sorted(map(repr, lake.arrow(name, columns).to_pylist()))
        hashes[name] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return hashes


def small_settings() -> Settings:
    """Settings for a model that trains in seconds."""
    environment = {name: os.environ.get(name) for name in SMALL}
    os.environ.update(SMALL)
    try:
        return load_settings()
    finally:
        for name, value in environment.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def make(root: Path) -> Chain:
    landing, settings = root / "landing", small_settings()
    write_landing(landing, days=DAYS, items=300, users=150, events_per_day=3000, new_items_per_day=10, seed=3)
    lake = Lake(root / "lake", run_id="test")
    lake.create()
    first = run_day(lake, settings, DAYS[-2], landing, since=DAYS[0])
    shutil.copytree(root / "lake", root / "before")
    last = run_day(lake, settings, LAST, landing)
    return Chain(lake, settings, landing, root / "before", content(lake), {DAYS[-2]: first, LAST: last})


LOOKED = replace(PRESETS["qarm_v2"], extras=("rates",))


def assert_no_future(lake: Lake, settings: Settings, day: date, other: Lake, design: Design = LOOKED) -> None:
    """No feature of a test row changes when everything from its moment on happens to other items.

    other  an empty lake
    """
    book = lake.arrow("gold.codebooks", ["encoder_version", "codebook_version"]).slice(0, 1).to_pylist()[0]
    catalogue = load_item_features(lake, settings, **book)
    data = load_dataset(lake, settings, catalogue, day)
    before = build_model_inputs(data, data.test, settings, design)
    events = lake.arrow("silver.events")
    at = events.column_names.index("item_id")
    shuffled = pa.array(np.random.default_rng(0).permutation(events["item_id"].to_pylist()))
    other.create()
    for name in ("silver.items", "gold.samples", "gold.item_embeddings", "gold.semantic_ids"):
        other.replace(name, lake.arrow(name))
    seen = 0
    cuts = [np.median(data.train.ts), *np.quantile(data.test.ts, [0.1, 0.5, 0.9])]
    for cut in np.array(cuts).astype(np.int64):
        later = pc.greater_equal(events["ts"].cast(pa.int64()), int(cut))
        earlier = data.test.ts <= cut
        other.replace("silver.events", events.filter(pc.invert(later)))
        put_histories(other)
        stopped = load_dataset(other, settings, catalogue, day)
        same = build_model_inputs(stopped, stopped.test, settings, design)
        assert same.rates is not None
        assert (before.topk[earlier] == same.topk[earlier]).all()
        other.replace("silver.events", events.set_column(at, "item_id", pc.if_else(later, shuffled, events["item_id"])))
        put_histories(other)
        changed = load_dataset(other, settings, catalogue, day)
        after = build_model_inputs(changed, changed.test, settings, design)
        assert (before.topk[earlier] == after.topk[earlier]).all()
        assert (before.sims[earlier] == after.sims[earlier]).all()
        assert before.rates is not None
        assert after.rates is not None
        assert (before.rates[earlier] == after.rates[earlier]).all()
        assert (before.rates[earlier] == same.rates[earlier]).all()
        assert (before.rates[~earlier] != after.rates[~earlier]).any()
        assert (data.test.length[earlier] == changed.test.length[earlier]).all()
        seen += int((before.topk[~earlier] != after.topk[~earlier]).sum())
    assert seen  # where it is the past, the shuffle is seen
