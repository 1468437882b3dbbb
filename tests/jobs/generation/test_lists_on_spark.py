"""Spark's executors list what one process lists."""

from collections import Counter

import numpy as np
import pytest

from jobs import generate
from jobs.lake import Lake
from jobs.settings.tree import Settings
from tests.jobs.generation.made_shop import BEFORE, DAY, land_walks, put_items, trained, walks
from tests.jobs.generation.test_generate import event, land, rows_of


@pytest.mark.usefixtures("open_gate")
@pytest.mark.parametrize("preset", ["sidereal", "sasrec", "rpg"])
def test_executors_make_the_lists_of_one_process(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    land(lake, [
        *walks(BEFORE, range(8)), *walks(DAY, range(8, 10)), event("saw", "i03", 1, kind="impression"),
        event("u01", "i20", 11, BEFORE, "purchase"), event("u01", "i20", 12, kind="cancel"),
        event("u02", "i21", 11, kind="purchase"), event("u02", "i21", 11, kind="cancel"),
    ])  # fmt: skip
    small, made = trained(settings, preset, epochs=1), {}
    for where in ("process", "executors"):
        if where == "executors":
            monkeypatch.setattr(generate, "SPARK_FROM_ROWS", 1)
            monkeypatch.setattr(generate.lists, "make_lists", None)
        result = generate.run(lake, small, DAY)
        made[where] = rows_of(lake, generate.TABLE), result.rows_in, result.rows_out, result.notes
    (rows, *counts), (others, *other_counts) = made.values()
    assert counts == other_counts
    by_source = Counter(row["source"] for row in rows)
    assert (by_source["popular"], by_source["graph"] > 100, by_source["generator"] > 100) == (5, True, True)
    key = ("user_id", "source", "rank")
    scores = [{tuple(row[name] for name in key): row.pop("score") for row in part} for part in (rows, others)]
    assert sorted(rows, key=str) == sorted(others, key=str)
    assert scores[0].keys() == scores[1].keys()
    assert all(np.isclose(score, scores[1][place], atol=1e-6) for place, score in scores[0].items())
