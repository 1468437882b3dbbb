"""How the lists of `recommend` are ordered."""

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

from jobs.ranking.lists import find_active_users, load_sources
from jobs.ranking.scoring import Scorer
from models.candidates import OFFSET
from models.ranker.lists import Order, rank_candidates
from tests.chain import LAST, Chain


def test_a_list_joins_the_ranks_of_the_ranker_and_of_what_was_generated(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    live = max(lake.arrow("gold.releases").to_pylist(), key=lambda row: row["release"])
    scorer = Scorer.load(lake, settings, LAST, live["model_uri"])
    users = find_active_users(scorer.histories, settings, LAST)
    lists: dict[str, dict[str, list[str]]] = {}
    sizes: dict[Order, int] = {"ranker": settings.recommend.candidates, "fused": settings.recommend.k}
    for order, k in sizes.items():
        sources = load_sources(lake, settings, LAST, scorer.items, scorer.users)
        columns = rank_candidates(scorer, users, sources, k, order)
        user, _, item, *_ = map(pa.array, columns)
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
