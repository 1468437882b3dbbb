"""Which days a run of ingest counts and writes again."""

from dataclasses import dataclass
from datetime import date, timedelta

from jobs.lake import Lake
from jobs.landing.accounting import load_touched_days
from jobs.landing.landed import ReadingPlan
from jobs.landing.line_groups import LineGroups
from jobs.landing.lines import DAY, list_days


@dataclass(frozen=True)
class ChangedDays:
    """The days whose lines this run adds, changes or takes away.

    due     days on which these lines are or were due
    events  days of silver.events that hold or held them
    """

    due: set[date]
    events: set[date]


def find_changed_days(
    lake: Lake, plan: ReadingPlan, before: LineGroups, after: LineGroups, late_days: int
) -> ChangedDays:
    """Compare the lines of files before and after this run read them.

    If a file grows or is overwritten, only the days of the lines that differ count. Lines that are due after the last
    day that was run wait for the run of their day.
    """
    unfinished = {row["file"] for row in plan.unfinished}
    counted_to = {row["file"]: row["counted_to"] for row in plan.waiting}
    changed = ChangedDays(set(), set())
    for group in before.keys() | after.keys():
        has_waited = group.file in counted_to and group.day > counted_to[group.file]
        is_changed = before.get(group) != after.get(group) or group.file in unfinished
        if group.day <= plan.last_day and (is_changed or has_waited):
            changed.due.add(group.day)
            if group.event_day:
                changed.events.add(group.event_day)
    _add_interrupted_days(lake, plan, changed, late_days)
    return changed


def _add_interrupted_days(lake: Lake, plan: ReadingPlan, changed: ChangedDays, late_days: int) -> None:
    """Add the days of runs that did not end well.

    Such a run may have been killed after it replaced lines in bronze tables. Silver tables then hold lines that no
    table knows any more.
    """
    for run_day in {row["day"] for row in plan.unfinished}:
        changed.events.update(load_touched_days(lake, run_day))
    if names := [row["file"] for row in plan.unfinished]:
        days_of_items = lake.query("SELECT DISTINCT day FROM silver.items WHERE file IN :names", names=names)["day"]
        changed.due.update(days_of_items.to_pylist())
    folder_days = {row["folder_day"] for row in plan.unfinished if row["folder_day"]}
    if folder_days:
        days = folder_days | {day + DAY for day in folder_days}  # a line is due at most a day after that of its folder
        text = "SELECT DISTINCT day FROM silver.events WHERE landed_day IN :days AND day >= :first"
        first = min(days) - timedelta(days=late_days)
        changed.events.update(lake.query(text, days=sorted(days), first=first)["day"].to_pylist())
        changed.due.update(day for day in days if day <= plan.last_day)


def list_due_days(changed: ChangedDays, since: date, day: date) -> list[date]:
    """The days whose lines this run counts: `since` to `day`, and those of lines that changed."""
    return sorted({*list_days(since, day), *changed.due})
