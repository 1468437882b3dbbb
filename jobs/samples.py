"""Build the training examples of a day, or of all days since another: who, what, when, and what came of it.

    python -m jobs.samples --day 2026-11-20 [--since 2026-11-01]

Reads silver.events. Writes gold.samples, partitions since..day. A label looks at events of its own UTC day
only: a click after midnight on what was shown before it is lost. What an example may know ends strictly
before `history_until`. Negatives are drawn from all that was bought on the day: they are no knowledge.
"""

import argparse
from datetime import date, timedelta
from typing import Any, Literal

import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from jobs.lake import JobResult, Lake, UserError, arrow_dataset, day_range_predicate
from jobs.lake.metrics import touched_days
from jobs.runtime.entry import main, parse_day
from jobs.runtime.progress import steps
from jobs.settings.tree import Settings

TABLE = "gold.samples"
Label = Literal["impression", "rating", "purchase"]


def run(lake: Lake, settings: Settings, day: date, since: date | None = None) -> JobResult:
    since = since or day
    if since > day:
        raise UserError(f"--since {since} lies after --day {day}")
    step = steps()
    for first, last in _spans(lake, since, day):
        step(f"building samples of {first} to {last}")
        label = chosen_label(lake, settings, max(last, day))
        samples = lake.transform(f"samples_{label}", since=first, day=last, **_arguments(lake, settings, label))
        lake.replace(TABLE, samples, where=day_range_predicate(first, last))
    return _told(lake, chosen_label(lake, settings, day), since, day)


def _spans(lake: Lake, since: date, day: date) -> list[tuple[date, date]]:
    """The days to build, as stretches: since to day, and those built before whose events ingest changed since.

    A late line changes its own day, and the next one, which may hold the rest of a request begun before midnight.
    """
    built = {date.fromisoformat(partition["day"]) for partition in lake.delta(TABLE).partitions()}
    touched = touched_days(lake, day)
    stale = built & (touched | {one + timedelta(days=1) for one in touched})
    firsts = touched & {first_day(lake, event) for event in ("impression", "rating", "click", "purchase")}
    if firsts:  # a backfill brought the first event of a kind: what later days know of it changes
        stale |= {one for one in built if one > min(firsts)}
    spans: list[tuple[date, date]] = []
    for one in sorted(stale | {since + timedelta(days=n) for n in range((day - since).days + 1)}):
        follows = spans and one - spans[-1][1] == timedelta(days=1)
        spans[-1:] = [(spans[-1][0], one)] if follows else [*spans[-1:], (one, one)]
    return spans


def chosen_label(lake: Lake, settings: Settings, day: date) -> Label:
    """The label rule: as set, or by what the log holds up to the day, so that no day differs by chance."""
    if settings.logs.label != "auto":
        return settings.logs.label
    rules: list[Label] = ["impression", "rating", "purchase"]
    return next((rule for rule in rules if first_day(lake, rule) <= day), "purchase")


def first_day(lake: Lake, event: str) -> date:
    """The first day on which a known user has such an event; the last day of all if there is none."""
    table = lake.delta("silver.events")
    dataset = arrow_dataset(table)
    mine = (ds.field("event") == event) & pc.is_valid(ds.field("user_id"))
    for day in sorted(date.fromisoformat(partition["day"]) for partition in table.partitions()):
        if dataset.head(1, columns=["event"], filter=mine & (ds.field("day") == day)).num_rows:
            return day
    return date.max


def _arguments(lake: Lake, settings: Settings, label: Label) -> dict[str, Any]:
    match label:
        case "impression":
            return {"clicks_from": first_day(lake, "click"), "purchases_from": first_day(lake, "purchase")}
        case "rating":
            return {"like_from": settings.logs.like_from}
        case "purchase":
            return {"negatives": settings.logs.negatives}


def _told(lake: Lake, label: Label, since: date, day: date) -> JobResult:
    days = (ds.field("day") >= since) & (ds.field("day") <= day)
    counts = dict.fromkeys(["click", "purchase", "like", "sampled"], 0)
    rows = 0
    written = arrow_dataset(DeltaTable(lake.path(TABLE), version=lake.outputs[TABLE]))
    for batch in written.to_batches(columns=list(counts), filter=days):
        rows += batch.num_rows
        for name in counts:
            counts[name] += pc.sum(batch[name]).as_py() or 0
    events = arrow_dataset(lake.delta("silver.events")).count_rows(filter=days)
    return JobResult(events, rows, notes={"label": label, "since": str(since), **counts})


def _since(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", type=parse_day, help="the first day to rebuild; by default --day")


if __name__ == "__main__":
    main(run, _since)
