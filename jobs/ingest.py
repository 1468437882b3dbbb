"""Land a day's logs, check them, and keep each clean event once.

    python -m jobs.ingest --day 2026-11-20 --data landing [--since 2026-11-01]

Reads the files of the landing folder that are new or have changed. Writes bronze.raw_events, bronze.raw_items and
bronze.rejects (the days on which the lines were due), silver.events and silver.histories (the days on which the events
happened, so that a late line goes where it belongs), silver.item_ids, silver.items and bronze.landed_files. All but
bronze.rejects are written only if the checks pass. With --since it also lands the earlier days, as history, in the same
run.
"""

import argparse
import sys
from datetime import date

import pyarrow as pa

from expectations import silver_events, silver_items
from jobs.lake import JobResult, Lake, UserError
from jobs.lake.checks import check
from jobs.lake.metrics import replace_metrics
from jobs.lake.staging import Staging
from jobs.landing.accounting import (
    FATES,
    check_future_share,
    check_reject_share,
    count_all,
    count_fates,
    count_lines,
    find_good_days,
    list_metrics,
    load_touched_days,
)
from jobs.landing.bronze import check_day_has_events, check_refusals, land_lines, replace_rejects
from jobs.landing.due import find_changed_days, list_due_days
from jobs.landing.files import KINDS, list_landing_files
from jobs.landing.folder import LandingFolder, parse_folder
from jobs.landing.histories import stage_histories, stage_item_ids
from jobs.landing.landed import begin_reading, check_reading, finish_reading, list_unread, plan_reading
from jobs.landing.line_groups import load_line_groups, load_line_groups_again
from jobs.landing.silver import find_items_without_lines, stage_events, stage_items
from jobs.landing.toml import load_landing
from jobs.runtime.entry import main, parse_day
from jobs.runtime.progress import steps
from jobs.settings.tree import Settings


def run(lake: Lake, settings: Settings, day: date, data: LandingFolder, since: date | None = None) -> JobResult:
    since = since or day
    if since > day:
        raise UserError(f"--since {since} is after --day {day}; give a day up to --day")
    landing = load_landing(data, settings.landing)
    listing = list_landing_files(data, landing)
    plan = plan_reading(lake, listing, landing, since, day)
    report_step = steps()
    report_step(f"reading {len(plan.files)} of {len(listing.files)} files for {since} to {day}")
    if plan.left_out:
        old_files = f"{len(plan.left_out):,} files of earlier days, such as {plan.left_out[0].name}"
        print(f"warning: {old_files}, are not read, although they are new or have changed; land them as history with"
              " --since", file=sys.stderr)  # fmt: skip
    before = load_line_groups(lake, plan.list_known_names())
    begin_reading(lake, plan)
    with Staging(lake) as staging:
        land_lines(lake, staging, landing, plan, before, since, day)
        lines = load_line_groups_again(lake, plan.list_names(), before)
        changed = find_changed_days(lake, plan, before, lines, landing.late_days)
        due_days = list_due_days(changed, since, day)
        counts = {kind: count_lines(lake, kind, due_days) for kind in KINDS}
        events, items = count_all(counts["events"]), count_all(counts["items"])
        report_step(f"landed {events:,} event and {items:,} item lines; setting bad ones aside")
        replace_rejects(lake, due_days)
        check_refusals(lake, due_days)
        check_day_has_events(lake, landing, listing, data, day)
        check_future_share(counts["events"], landing, data)
        check_reject_share(counts, settings.logs.max_reject_share)
        days_of_run = find_good_days([count for count in counts["events"] if since <= count.due <= day])
        event_days = sorted(changed.events | days_of_run | load_touched_days(lake, day))
        report_step(f"keeping each event of {len(event_days)} days once")
        stage_item_ids(lake, staging, event_days)  # before the events: a reader of an event finds its item
        stage_events(lake, staging, event_days)
        stage_histories(lake, staging, event_days, plan.last_day)
        report_step("finding the latest version of each item")
        stage_items(lake, staging, due_days, plan.last_day)
        report_step("checking the tables")
        checks = check(lake, "silver.events", silver_events, event_days) + check(lake, "silver.items", silver_items)
        report_step("counting what became of every line")
        check_reading(lake, plan)  # lines that another run landed meanwhile would not add up
        has_old_items = bool(plan.unfinished) or any(group.kind == "items" for group in before)
        dropped_items = find_items_without_lines(lake, due_days, plan.last_day) if has_old_items else []
        fates = count_fates(lake, counts, due_days, len(dropped_items))
        # Before anything is published: if this run is killed, its next try still builds the samples of these days.
        replace_metrics(lake, "ingest", day, list_metrics(counts, fates, event_days) + checks)
        check_reading(lake, plan)
    if dropped_items:
        lake.delete("silver.items", "item_id", pa.array(dropped_items, pa.string()))
    # Last, so that a run that is killed before is done again, and builds the samples of the same days.
    finish_reading(lake, plan, lines, list_unread(lake, listing, plan, day))
    totals = {fate: sum(fates[kind][fate] for kind in KINDS) for fate in FATES}
    return JobResult(**totals, notes={"files": len(plan.files), "event_days": len(event_days)})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=parse_folder, required=True, help="landing folder")
    parser.add_argument("--since", type=parse_day, help="land the days from this one to --day as history")


if __name__ == "__main__":
    main(run, add_arguments)
