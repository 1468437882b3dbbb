"""How many of tomorrow's items do today's lists hold, by what orders them and where their candidates come from?

    make run
    make bench B=lists ARGS="--lake lake [--json FILE]"

Makes the lists of every day of the lake again, from the versions of the tables that `recommend` read, with the model
that it took, and measures them by what users acted on the day after. Items that a user acted on before do not count.
The bench only reads the lake.

Ways:

    popular           the most popular items, for every user the same
    before            ordered by the ranker's score; candidates are pairs, neighbours and popular items
    ranker            the same, with candidates of all sources
    fused             ordered by reciprocal rank fusion of the ranker, the item graph and the generator, as `recommend`
                      does by default
    fused without X   the same without this source: it neither finds candidates nor votes for an item

Column for each day on which users acted: hit rate at 10, the share of the items that users acted on for the first time
that was among the first ten of the user's list of the day before.
"""

import json
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from common import build_parser, describe_machine
from rich.console import Console
from rich.table import Table

from jobs.lake import Lake, UserError
from jobs.ranking.lists import find_active_users, load_sources
from jobs.ranking.scoring import Scorer
from jobs.ranking.settings import GENERATED, SOURCES
from jobs.ranking.yesterdays_lists import load_ranks
from jobs.release.decisions import LISTS
from jobs.release.model_store import load_card
from jobs.settings.tree import Settings, load_settings
from models.ranker.histories import Int64s
from models.ranker.lists import rank_candidates

K = 10
Row = dict[str, Any]
WAYS: dict[str, dict[str, Any]] = {
    "before": {"order": "ranker", "sources": tuple(source for source in SOURCES if source not in GENERATED)},
    "ranker": {"order": "ranker", "sources": SOURCES},
    "fused": {"order": "fused", "sources": SOURCES},
} | {
    f"fused without {left_out}": {"order": "fused", "sources": tuple(name for name in SOURCES if name != left_out)}
    for left_out in SOURCES
}


def measure(lake: Lake, settings: Settings, decision: Row) -> Iterator[Row]:
    """The rows of one day: of `popular` and of all ways."""
    day, versions = decision["day"], {name: version for name, version in decision["tables"] if name not in LISTS}
    settings = load_card(lake, decision["model_uri"]).apply_to(settings)
    with lake.read_at(versions):
        scorer = Scorer.load(lake, settings, day, decision["model_uri"])
        users = find_active_users(scorer.histories, settings, day)
        made = {way: make_lists(lake, settings, day, scorer, users, WAYS[way]) for way in WAYS}
    for way, lists in made.items():
        ranks = load_ranks(
            lake, settings, day + timedelta(days=1), "FROM made", exclude_seen=True, views={"made": lists}
        )
        if not ranks.num_rows:
            return
        names = {"live": way} | ({"popular": "popular"} if way == "before" else {})
        for column, name in names.items():
            rank = ranks[column].cast(pa.float64()).fill_null(np.inf).to_numpy()
            hits = {"hit_rate_at_10": float((rank <= K).mean()), "items": ranks.num_rows}
            yield {"day": str(day + timedelta(days=1)), "way": name} | hits


def make_lists(
    lake: Lake, settings: Settings, day: date, scorer: Scorer, users: Int64s, way: dict[str, Any]
) -> pa.Table:
    """Rows `user_id, item_id, rank` of the users [users]. way: the settings of [recommend] that it changes"""
    recommend = settings.recommend.model_copy(update=way | {"exclude_seen": True})
    changed = settings.model_copy(update={"recommend": recommend})
    sources = load_sources(lake, changed, day, scorer.items, scorer.users)
    columns = rank_candidates(scorer, users, sources, recommend.k, recommend.order)
    user, rank, item, _, _ = map(pa.array, columns)
    return pa.table({"user_id": scorer.users.take(user), "item_id": scorer.items.ids.take(item), "rank": rank})


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--lake", required=True, type=Path, help="folder of a lake that `make run` wrote")
    flags = parser.parse_args()
    lake, settings = Lake(flags.lake, run_id="bench"), load_settings()
    try:
        decisions = lake.arrow("gold.decisions").sort_by("day").to_pylist()
        rows = [row for decision in decisions if decision["model_uri"] for row in measure(lake, settings, decision)]
    except UserError as error:
        sys.exit(f"lists: {error}")
    if not rows:
        sys.exit(f"lists: {flags.lake} has no lists of a day before another; run `make run LAKE={flags.lake}` first")
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    days = sorted({row["day"] for row in rows})
    table = Table(title=f"{flags.lake}; {describe_machine('torch')}")
    for name in ("hit rate at 10", *days):
        table.add_column(name)
    rates = {(row["way"], row["day"]): row["hit_rate_at_10"] for row in rows}
    for way in ("popular", *WAYS):
        table.add_row(way, *(f"{rates[way, day]:.4f}" if (way, day) in rates else "-" for day in days))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
