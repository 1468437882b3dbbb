"""Land a day's logs, check them, and keep each clean event once.

    python -m jobs.ingest --day 2026-11-20 --data landing [--since 2026-11-01]

Reads the landing folder. Writes bronze.raw_events, bronze.raw_items and bronze.rejects (the days on which the lines
were due), silver.events (the days on which the events happened, so that a late line goes where it belongs) and
silver.items.
With --since it also lands the earlier days, as history, in the same run.
"""

import argparse
from datetime import date
from pathlib import Path

from expectations import silver_events, silver_items
from jobs.lake import JobResult, Lake, UserError
from jobs.lake.checks import check
from jobs.lake.metrics import replace_metrics
from jobs.landing.accounting import (
    FATES,
    check_reject_share,
    count_all,
    count_fates,
    count_lines,
    count_rejected,
    list_metrics,
)
from jobs.landing.bronze import find_first_event_day, land_lines, replace_rejects
from jobs.landing.files import KINDS, list_landing_files, name_unreadable_file
from jobs.landing.silver import find_rewritten_days, merge_items, replace_events
from jobs.runtime.entry import main, parse_day
from jobs.runtime.progress import steps
from jobs.settings.tree import Settings


def run(lake: Lake, settings: Settings, day: date, data: Path, since: date | None = None) -> JobResult:
    span = {"since": since or day, "day": day}
    if span["since"] > day:
        raise UserError(f"--since {since} is after --day {day}; give a day up to --day")
    all_files = list_landing_files(data)
    files = [file for file in all_files if file.day is None or span["since"] <= file.day <= day]
    report_step = steps()
    report_step(f"reading {len(files)} files for {span['since']} to {day}")
    rewritten_days = find_rewritten_days(lake, span)
    try:
        with name_unreadable_file(files):
            land_lines(lake, files, span, find_first_event_day(all_files))
        counts = {kind: count_lines(lake, kind, span) for kind in KINDS}
        events, items = count_all(counts["events"]), count_all(counts["items"])
        report_step(f"landed {events:,} event and {items:,} item lines; setting bad ones aside")
        replace_rejects(lake, span, counts)
        check_reject_share(counts, settings.logs.max_reject_share)
        good_days = {count.day for count in counts["events"] if count.reason is None and count.day}
        event_days = sorted(rewritten_days | good_days)
        report_step(f"keeping each event of {len(event_days)} days once")
        replace_events(lake, event_days)
        report_step("merging items")
        merge_items(lake, span, has_good_lines=items > count_rejected(counts["items"]))
        report_step("checking the tables")
        checks = check(lake, "silver.events", silver_events, event_days) + check(lake, "silver.items", silver_items)
        report_step("counting what became of every line")
        fates = count_fates(lake, counts, span, event_days)
    except BaseException:  # bronze.rejects stays: it says which lines were wrong
        for table in ("silver.items", "silver.events", "bronze.raw_items", "bronze.raw_events"):
            lake.restore_version(table)
        raise
    replace_metrics(lake, "ingest", day, list_metrics(counts, fates, event_days) + checks)
    totals = {fate: sum(fates[kind][fate] for kind in KINDS) for fate in FATES}
    return JobResult(**totals, notes={"files": len(files), "event_days": len(event_days)})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--since", type=parse_day, help="land the days from this one to --day as history")


if __name__ == "__main__":
    main(run, add_arguments)
