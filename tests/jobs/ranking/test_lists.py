"""How the lists of `recommend` are ordered."""

import shutil
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs import recommend
from jobs.lake import Lake, UserError
from jobs.ranking.lists import find_active_users, find_candidates, rank_candidates
from jobs.ranking.scoring import Scorer
from models.candidates import OFFSET
from tests.chain import LAST, Chain


def test_a_list_joins_the_ranks_of_the_ranker_and_of_what_was_generated(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    live = max(lake.arrow("gold.releases").to_pylist(), key=lambda row: row["release"])
    scorer = Scorer.load(lake, settings, LAST, live["model_uri"])
    users = find_active_users(scorer.histories, settings, LAST)
    lists: dict[str, dict[str, list[str]]] = {}
    for order, k in (("ranker", settings.recommend.candidates), ("fused", settings.recommend.k)):
        changed = settings.recommend.model_copy(update={"order": order, "k": k})
        candidates = find_candidates(lake, settings, LAST, scorer, users)
        user, _, item, *_ = rank_candidates(scorer, users, candidates, changed)
        lists[order] = defaultdict(list)
        for name, item_id in zip(
            scorer.users.take(user).to_pylist(), scorer.items.ids.take(item).to_pylist(), strict=True
        ):
            lists[order][name].append(item_id)
    votes: dict[tuple[str, str], float] = defaultdict(float)
    for row in lake.arrow("gold.generated", where=pc.field("day") == LAST).to_pylist():
        votes[row["user_id"], row["item_id"]] += (row["source"] != "popular") / (OFFSET + row["rank"])
    for name, ranked in lists["ranker"].items():
        total = {item: 1 / (OFFSET + n) + votes[name, item] for n, item in enumerate(ranked, 1)}
        expected = sorted(total.values(), reverse=True)[: settings.recommend.k]
        assert [round(total[item], 9) for item in lists["fused"][name]] == [round(value, 9) for value in expected]
    assert lists["fused"] != {name: ranked[: settings.recommend.k] for name, ranked in lists["ranker"].items()}


def test_sources_that_find_nothing_for_anybody_stop_the_task(ran: Chain, tmp_path: Path) -> None:
    lake = Lake(shutil.copytree(ran.lake.root, tmp_path / "lake"))
    lists = lake.arrow("gold.recommendations", where=pc.field("day") == LAST).num_rows
    lake.delete("gold.generated", "day", pa.array([LAST]))
    sources = ran.settings.recommend.model_copy(update={"sources": ("graph", "generator")})
    with pytest.raises(
        UserError, match=r"^none of \d+ users has a candidate: \[recommend\] sources is graph, generator,"
    ):
        recommend.run(lake, ran.settings.model_copy(update={"recommend": sources}), LAST)
    assert lake.arrow("gold.recommendations", where=pc.field("day") == LAST).num_rows == lists > 0
