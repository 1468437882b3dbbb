"""Why a user would get an item: the events of the history that were found, their similarity, what each weighs.

    python -m jobs.explain --day 2026-11-20 --user u17 --item i4

Reads the model that was live after the day and what it looks at. Prints the events that weigh most; publishes nothing.
What the report shows of a few users and their first items, recommend writes to gold.explanations.
"""

import argparse
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.lake import JobResult, Lake, UserError
from jobs.ranking.scoring import Scorer
from jobs.release.releases import live
from jobs.reporting.queries import load_titles
from jobs.runtime.entry import main
from jobs.settings.tree import Settings
from models.ranker.histories import Int64s
from models.ranker.training import predict

SHOWN = 20


def run(lake: Lake, settings: Settings, day: date, user: str, item: str) -> JobResult:
    release = live(lake, before=str(day + timedelta(days=1)))
    if release is None:
        raise UserError(f"no model was live after {day}: choose a later day, or run that day first")
    scorer = Scorer.load(lake, settings, day, str(release["model_uri"]))
    who = _place(scorer.users, user, f"user {user} has clicked, bought or liked nothing up to {day}")
    what = _place(scorer.catalogue.ids, item, f"there is no item {item}")
    score = float(predict(scorer.model, scorer.rows(who, what)[0])[0, 0])
    rows = scorer.explain(who, what)
    names = load_titles(lake, {row["history_item_id"] for row in rows} | {item})
    table = Table(title=escape(f"{user}, {names[item]}: {scorer.model.tasks[0]} {score:.4f} by {scorer.model_version}"))
    for column in ("", "item of the history", "event", "when", "similarity", "attention"):
        table.add_column(column)
    for row in rows[:SHOWN]:
        told = row["event"], f"{row['ts']:%Y-%m-%d %H:%M}", f"{row['similarity']:.3f}", f"{row['attention']:.3f}"
        table.add_row(str(row["rank"]), escape(names[row["history_item_id"]]), *told)
    Console(stderr=True).print(table)
    return JobResult(len(rows), notes={"score": score})


def _place(ids: pa.Array, name: str, missing: str) -> Int64s:
    try:
        place = pc.index(ids, pa.scalar(name, ids.type)).as_py()
    except UnicodeEncodeError:
        raise UserError(f"{name!r} is no UTF-8, which all names in the lake are") from None
    if place < 0:
        raise UserError(missing)
    return np.array([place])


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", required=True, help="as in silver.events")
    parser.add_argument("--item", required=True, help="as in silver.items")


if __name__ == "__main__":
    main(run, _arguments)
