"""Build a day's training samples: which user, which item, when, with which label.

    python -m jobs.samples --day 2026-11-20 [--since 2026-11-01]

Reads silver.events and silver.histories. Writes gold.samples: the days from --since to --day, and built days that their
events change, such as the days before, on which an item was shown that was bought today. A label looks at most two
`attribution_hours` ahead: one to the click, and one from there to the purchase. The history of a sample ends strictly
before its `history_until`. Negatives are drawn from all items that were bought on the day. They only serve as wrong
answers, so they tell the model nothing about the future.
"""

import argparse
from datetime import date, timedelta

import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from jobs.lake import JobResult, Lake, UserError, arrow_dataset, day_range_predicate
from jobs.lake.rows import SPARK_FROM_ROWS, Rows
from jobs.lake.run_state import check_nothing_newer_is_replaced
from jobs.landing.cancels import load_cancelled, register_cancelled
from jobs.landing.labels import Label, choose_label, count_days_ahead, label_parameters
from jobs.landing.lines import list_days
from jobs.landing.sample_days import TABLE, list_day_ranges
from jobs.runtime.entry import main, parse_day
from jobs.runtime.progress import steps
from jobs.settings.tree import Settings


def run(lake: Lake, settings: Settings, day: date, since: date | None = None) -> JobResult:
    since = since or day
    if since > day:
        raise UserError(f"--since {since} is after --day {day}; give a day up to --day")
    report_step = steps()
    days_ahead = count_days_ahead(settings.logs, choose_label(lake, settings.logs, day))
    ranges = list_day_ranges(lake, since, day, days_ahead)
    for first, last in ranges:
        days = list_days(first, last)
        check_nothing_newer_is_replaced(lake, TABLE, days, days)
    for first, last in ranges:
        report_step(f"building samples of {first} to {last}")
        label = choose_label(lake, settings.logs, max(last, day))
        parameters = label_parameters(lake, settings.logs, label, last)
        parameters |= {"since": first, "day": last}
        around = first - timedelta(days=days_ahead), last + timedelta(days=days_ahead)
        if lake.count_rows("silver.events", *around) < SPARK_FROM_ROWS:
            cancelled = {} if label == "rating" else {"cancelled": load_cancelled(lake, *around)}
            samples: Rows = lake.stream_transform(f"samples_{label}", cancelled, **parameters)
        else:
            if label != "rating":
                register_cancelled(lake, *around)
            samples = lake.transform(f"samples_{label}", **parameters)
        lake.replace(TABLE, samples, where=day_range_predicate(first, last))
    return _count_samples(lake, choose_label(lake, settings.logs, day), since, day)


def _count_samples(lake: Lake, label: Label, since: date, day: date) -> JobResult:
    days = (ds.field("day") >= since) & (ds.field("day") <= day)
    counts = dict.fromkeys(["click", "purchase", "like", "sampled"], 0)
    rows = 0
    written = arrow_dataset(DeltaTable(lake.path(TABLE), version=lake.outputs[TABLE]))
    for batch in written.to_batches(columns=list(counts), filter=days):
        rows += batch.num_rows
        for name in counts:
            counts[name] += pc.sum(batch[name]).as_py() or 0
    return JobResult(
        lake.count_rows("silver.events", since, day), rows, notes={"label": label, "since": str(since), **counts}
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", type=parse_day, help="the first day to build; by default --day")


if __name__ == "__main__":
    main(run, add_arguments)
