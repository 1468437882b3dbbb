"""Show why a user would get an item: the events of the history that were found, their similarity and their weight.

    python -m jobs.explain --day 2026-11-20 --user u17 --item i4

Reads gold.releases, silver.histories, silver.events, silver.items, silver.item_ids, gold.item_embeddings,
gold.semantic_ids and the model that was live after the day. Prints the events with the highest weight; writes nothing.
`recommend` writes the same to gold.explanations for a few users and their first items, which the report shows.
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
from jobs.release.releases import live_release
from jobs.reporting.queries import load_titles
from jobs.runtime.entry import main
from jobs.runtime.printable import printable
from jobs.settings.tree import Settings
from models.ranker.histories import Int64s
from models.ranker.prediction import predict

SHOWN = 20


def run(lake: Lake, settings: Settings, day: date, user: str, item: str) -> JobResult:
    release = live_release(lake, before=str(day + timedelta(days=1)))
    if release is None:
        raise UserError(f"no model was live after {day}: choose a later day, or run that day first")
    try:
        users = pa.array([user], pa.string())
    except UnicodeEncodeError:
        raise UserError(f"{user!r} is not valid UTF-8, as all IDs in the lake are") from None
    scorer = Scorer.load(lake, settings, day, str(release["model_uri"]), users=users)
    if not len(scorer.histories.items):
        raise UserError(f"user {user} has clicked, bought or liked nothing until {day}")
    item_index = _find_index(scorer.items.ids, item, f"there is no item {item}")
    user_index = np.zeros(1, np.int64)
    inputs, _ = scorer.build_inputs(user_index, item_index)
    score = float(predict(scorer.model, inputs)[0, 0])
    rows = scorer.explain(user_index, item_index)
    names = load_titles(lake, {row["history_item_id"] for row in rows} | {item})
    table = Table(title=_show(f"{user}, {names[item]}: {scorer.model.tasks[0]} {score:.4f} by {scorer.model_version}"))
    for column in ("", "item of the history", "event", "when", "similarity", "attention"):
        table.add_column(column)
    for row in rows[:SHOWN]:
        cells = row["event"], f"{row['ts']:%Y-%m-%d %H:%M}", f"{row['similarity']:.3f}", f"{row['attention']:.3f}"
        table.add_row(str(row["rank"]), _show(names[row["history_item_id"]]), *cells)
    Console(stderr=True).print(table)
    return JobResult(len(rows), notes={"score": score})


def _show(text: str) -> str:
    """Text from the logs, so that rich and the terminal take nothing in it as a command."""
    return escape(printable(text))


def _find_index(ids: pa.Array, name: str, message: str) -> Int64s:
    """The index of an ID [1]. raises UserError with the message if there is no such ID"""
    try:
        index = pc.index(ids, pa.scalar(name, ids.type)).as_py()
    except UnicodeEncodeError:
        raise UserError(f"{name!r} is not valid UTF-8, as all IDs in the lake are") from None
    if index < 0:
        raise UserError(message)
    return np.array([index])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", required=True, help="as in silver.events")
    parser.add_argument("--item", required=True, help="as in silver.items")


if __name__ == "__main__":
    main(run, add_arguments)
