"""Spark's executors rank as one process does."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs import recommend
from jobs.lake import Lake
from jobs.ranking.users_on_spark import map_users
from tests.chain import LAST, Chain

LISTS = "gold.recommendations"


@pytest.mark.parametrize("order", ["fused", "ranker"])
def test_executors_make_the_lists_of_one_process(
    ran: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    lake = Lake(shutil.copytree(ran.lake.root, tmp_path / "lake"), run_id="test")
    changed = ran.settings.recommend.model_copy(update={"order": order})
    settings = ran.settings.model_copy(update={"recommend": changed})
    made = {}
    for where in ("process", "executors"):
        if where == "executors":
            monkeypatch.setattr(recommend, "SPARK_FROM_ROWS", 0)
        result = recommend.run(lake, settings, LAST)
        lists = lake.query(f"SELECT * FROM {LISTS} WHERE day = :day ORDER BY user_id, rank", day=LAST)
        explained = lake.query("SELECT * EXCLUDE (score, similarity, attention) FROM gold.explanations ORDER BY ALL")
        made[where] = lists, result.rows_in, result.rows_out, explained
    (lists, *counts), (others, *other_counts) = made.values()
    assert counts == other_counts
    assert len(lists) > 1000
    assert lists.drop(["score"]).equals(others.drop(["score"]))
    assert np.allclose(lists["score"].to_numpy(), others["score"].to_numpy(), atol=1e-6)


def test_users_are_the_work_of_several_tasks(ran: Chain) -> None:
    def name_task(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        from pyspark import TaskContext

        task = TaskContext.get()
        assert task
        users = sum(batch.num_rows for batch in batches)
        yield pa.RecordBatch.from_pydict({"task": [task.partitionId()], "users": [users]})

    lake = ran.lake
    users = lake.sql("SELECT user_id FROM silver.events WHERE user_id IS NOT NULL GROUP BY user_id")
    tasks = map_users(lake, users, users.count(), name_task, "task BIGINT, users BIGINT").toArrow().to_pydict()
    assert len(tasks["task"]) > 1
    assert max(tasks["users"]) < sum(tasks["users"]) / 2
