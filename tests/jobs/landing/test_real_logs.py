"""Slices of real logs, from the landing folder to an evaluated model. To save time, the item vectors are random."""

import shutil
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from jobs import evaluate, ingest, quantize, samples, train
from jobs.encoders.location import encoder_version
from jobs.encoders.vectors import vectors_column
from jobs.lake import JobResult, Lake
from jobs.lake.contracts import contracts
from jobs.ranking.dataset import load_dataset
from jobs.ranking.items import load_item_features
from jobs.settings.tree import Settings
from tests.chain import assert_no_future, small_settings
from tests.conftest import DATA, RETAIL_FIRST, RETAIL_LAST

Landed = tuple[str, Lake, Settings, date]


def write_random_vectors(lake: Lake, settings: Settings, day: date) -> None:
    items = lake.arrow("silver.items", ["item_id", "content_hash"])
    vectors = np.random.default_rng(0).normal(size=(items.num_rows, 32)).astype(np.float32)
    version = [encoder_version(settings.encoder)] * items.num_rows
    columns = [items["item_id"], version, items["content_hash"], vectors_column(vectors), [day] * items.num_rows]
    contract = contracts()["gold.item_embeddings"]
    rows = pa.table(dict(zip(contract.names, columns, strict=True)), contract.arrow)
    lake.replace("gold.item_embeddings", rows)


@pytest.fixture(
    scope="module",
    params=[
        ("ranklens", date(2021, 11, 15), date(2021, 11, 15)),
        ("online_retail", RETAIL_FIRST, RETAIL_LAST),
    ],
    ids=["ranklens", "online_retail"],
)
def landed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, retail: tuple[Lake, JobResult]
) -> Landed:
    name, since, day = request.param
    settings, lake = small_settings(), Lake(tmp_path_factory.mktemp(name) / "lake", run_id="test")
    if name == "online_retail":
        shutil.copytree(retail[0].root, lake.root)
    else:
        lake.create()
        ingest.run(lake, settings, day, data=DATA / name, since=since)
    samples.run(lake, settings, day, since=since)
    write_random_vectors(lake, settings, day)
    for job in (quantize, train, evaluate):
        job.run(lake, settings, day)
    return name, lake, settings, day


def test_no_feature_sees_the_future(landed: Landed, tmp_path_factory: pytest.TempPathFactory) -> None:
    _, lake, settings, day = landed
    assert_no_future(lake, settings, day, Lake(tmp_path_factory.mktemp("other")))


def test_the_test_rows_come_after_the_training_rows(landed: Landed) -> None:
    name, lake, settings, day = landed
    book = lake.arrow("gold.codebooks", ["encoder_version", "codebook_version"]).slice(0, 1).to_pylist()[0]
    data = load_dataset(lake, settings, load_item_features(lake, settings, **book), day)
    assert data.split == {"ranklens": "request", "online_retail": "day"}[name]
    assert data.train.ts.max() <= data.test.ts.min()
    share = len(data.test) / (len(data.test) + len(data.train))
    assert 0.1 < share < 0.3


def test_both_models_are_evaluated(landed: Landed) -> None:
    rows = [r for r in landed[1].arrow("gold.metrics").to_pylist() if r["slice"] == "all" and r["metric"] == "auc"]
    assert {r["model"] for r in rows if r["value"] is not None} == {"challenger", "din", "challenger_minus_din"}


def test_a_day_without_events_trains_nothing(landed: Landed) -> None:
    _, lake, settings, day = landed
    result = train.run(lake, settings, date(day.year, day.month, day.day + 1))
    assert "skipped" in result.notes


def test_real_dirty_logs_add_up(retail: tuple[Lake, JobResult]) -> None:
    lake, result = retail
    assert result.rows_in == result.rows_out + result.rows_rejected + result.rows_duplicate
    events = lake.arrow("silver.events", ["user_id", "value", "event"])
    assert events.num_rows == 7670
    assert events["user_id"].null_count == 2250
    assert sum(event == "cancel" for event in events["event"].to_pylist()) == 195
