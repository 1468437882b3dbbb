"""Spark's executors rank as one process does."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from jobs import recommend
from jobs.lake import Lake
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
