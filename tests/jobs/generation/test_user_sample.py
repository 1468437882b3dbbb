"""The generator of a large shop learns from a sample of its users, and lists items for all of them."""

import pyarrow as pa
import pytest

from jobs import generate
from jobs.lake import Lake
from jobs.ranking.user_sample import are_sampled
from jobs.settings.tree import Settings
from tests.jobs.generation.made_shop import BEFORE, DAY, land_walks, put_items, trained, walks
from tests.jobs.generation.test_generate import Row, event, land, list_of, pairs_of, rows_of

SHARE, USERS = 0.4, [f"u{number:02}" for number in range(30)]
CHOSEN = pa.array(USERS).filter(pa.array(are_sampled(SHARE, pa.array(USERS)))).to_pylist()


def sampled(settings: Settings, preset: str) -> Settings:
    logs = settings.logs.model_copy(update={"user_share": SHARE})
    return trained(settings, preset, epochs=1).model_copy(update={"logs": logs})


def test_pairs_are_of_the_chosen_users_and_lists_of_all_visitors(lake: Lake, settings: Settings) -> None:
    land(lake, [
        *(event(user, item, second) for user in USERS for second, item in enumerate("ab")),
        *(event(user, "c", 5) for user in USERS if user not in CHOSEN), event("saw", "b", 1, kind="impression"),
    ])  # fmt: skip
    result = generate.run(lake, sampled(settings, "graph"), DAY)
    assert pairs_of(lake) == {"ab": len(CHOSEN)}
    assert result.rows_in == len(USERS) + 1
    assert list_of(lake, "saw", "popular") == ["a", "b"]  # what the chosen users acted on


@pytest.mark.usefixtures("open_gate")
def test_executors_and_one_process_list_the_same_for_all_users(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    land(lake, [*walks(BEFORE, range(8)), *walks(DAY, range(8, 10)), event("saw", "i03", 1, kind="impression")])
    small, made = sampled(settings, "sidereal"), list[list[Row]]()
    for from_rows in (1 << 60, 1):
        monkeypatch.setattr(generate, "SPARK_FROM_ROWS", from_rows)
        result = generate.run(lake, small, DAY)
        made.append(rows_of(lake, generate.TABLE))
        assert result.rows_in == len(USERS) + 1
    assert {row["user_id"] for row in made[0]} == {*USERS, "saw"}
    assert {row["source"] for row in made[0]} == {"graph", "generator", "popular"}
    scores = [[row.pop("score") for row in rows] for rows in made]
    assert made[0] == made[1]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
