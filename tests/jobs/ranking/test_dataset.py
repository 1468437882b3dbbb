"""A day's rows as arrays: their labels and their order."""

from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import torch

from jobs.lake import Lake
from jobs.lake.arrow import distinct_strings, large_parts, merge_stream
from jobs.ranking.dataset import load_dataset
from jobs.ranking.items import ItemFeatures
from jobs.settings.tree import Settings
from tests.jobs.lake_rows import DAY, moment, put

ITEMS = ItemFeatures(
    pa.array(["i1", "i2"]), torch.zeros(2, 4), torch.full((2, 3), -1), "cb1", torch.full((2,), -1, dtype=torch.int64)
)


def sample(name: str, day: date, **labels: Any) -> dict[str, Any]:
    ts = moment(day, int(name))
    ids = {"sample_id": name, "user_id": f"u{name}", "item_id": "i2"}
    return {**ids, "ts": ts, "history_until": ts, "sampled": False, "day": day, **labels}


def test_tasks_with_labels_in_the_test_rows_come_first(lake: Lake, settings: Settings) -> None:
    before = DAY - timedelta(days=1)
    rows = [sample("1", before, purchase=1), sample("2", before, purchase=0, like=1), sample("3", before)]
    put(lake, "gold.samples", [*rows, sample("5", DAY, like=0), sample("4", DAY, like=1)])
    data = load_dataset(lake, settings, ITEMS, DAY)
    assert data.tasks == ("like", "purchase")
    assert data.test.labels[:, 0].tolist() == [1, 0]
    assert [data.users[int(index)].as_py() for index in data.test.user] == ["u4", "u5"]
    assert [data.users[int(index)].as_py() for index in data.train.user] == ["u1", "u2"]
    assert data.train.labels[:, 1].tolist() == [1, 0]


def test_no_row_is_trained_by_what_happened_on_the_test_day_or_tested_by_what_happened_later(
    lake: Lake, settings: Settings
) -> None:
    before, after = DAY - timedelta(days=1), DAY + timedelta(days=1)

    def bought(name: str, day: date, on: date, second: int = 0) -> dict[str, Any]:
        return sample(name, day, click=1, purchase=1, clicked_at=moment(day, 9), bought_at=moment(on, second))

    rows = [bought("1", before, before, 86_399), bought("2", before, DAY), sample("3", before, click=0, purchase=0)]
    put(lake, "gold.samples", [*rows, bought("4", DAY, DAY, 86_399), bought("5", DAY, after)])
    data = load_dataset(lake, settings, ITEMS, DAY)
    assert data.tasks == ("click", "purchase")
    assert data.train.labels.tolist() == [[1, 1], [1, 0], [0, 0]]
    assert data.test.labels.tolist() == [[1, 1], [1, 0]]
    trained_later = load_dataset(lake, settings, ITEMS, after)
    assert trained_later.train.labels.tolist() == [[1, 1], [1, 1], [0, 0], [1, 1], [1, 0]]


def test_parts_are_merged_when_they_outgrow_the_result_so_far() -> None:
    merged_sizes = []

    def merge(parts: list[pa.Array]) -> pa.Array:
        merged_sizes.append(sum(map(len, parts)))
        return distinct_strings(parts)

    part = pa.array([str(n) for n in range(100)])
    assert merge_stream([part] * 500, merge).to_pylist() == sorted(part.to_pylist())
    assert max(merged_sizes) <= 3 * len(part)
    assert len(merged_sizes) <= 500 / 2 + 3
    assert distinct_strings([]).to_pylist() == []


def test_a_stream_is_read_in_parts_that_have_as_many_rows_as_there_are_ids() -> None:
    batches = [pa.record_batch({"n": range(start, start + 40)}) for start in range(0, 400, 40)]
    parts = list(large_parts(iter(batches), 100))
    assert [len(part) for part in parts] == [120, 120, 120, 40]
    assert pa.concat_tables(parts)["n"].to_pylist() == list(range(400))
    assert list(large_parts(iter([]), 100)) == []
