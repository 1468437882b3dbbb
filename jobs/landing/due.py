"""Which days a run of ingest counts and writes again."""

from dataclasses import dataclass
from datetime import date, timedelta

from jobs.lake import Lake
from jobs.landing.files import KINDS
from jobs.landing.landed import ReadingPlan
from jobs.landing.lines import DAY, list_days


@dataclass(frozen=True)
class ChangedDays:
    """The days whose lines may change or disappear because files are read again.

    due     days on which these lines were due
    events  days of silver.events that may hold them
    """

    due: set[date]
    events: set[date]


def find_changed_days(lake: Lake, plan: ReadingPlan, late_days: int) -> ChangedDays:
    """The days of the lines that the lake has of files that this run reads again, or that are gone."""
    changed = ChangedDays(_find_waiting_days(lake, plan), set())
    if names := [*plan.again, *(row["file"] for row in plan.gone)]:
        text = """SELECT DISTINCT event_day FROM bronze.raw_events
                  WHERE reason IS NULL AND file IN :names AND event_day IN (SELECT DISTINCT day FROM silver.events)"""
        changed.events.update(lake.query(text, names=names)["event_day"].to_pylist())
        text = " UNION ".join(f"SELECT day FROM bronze.raw_{kind} WHERE file IN :names" for kind in KINDS)
        changed.due.update(lake.query(text, names=names)["day"].to_pylist())
    if plan.interrupted:
        # The run may have been killed after it replaced the lines in bronze tables. Silver tables then hold lines that
        # no table knows any more. A line is due at most a day after the day of its folder.
        days = plan.interrupted | {day + DAY for day in plan.interrupted}
        text = "SELECT DISTINCT day FROM silver.events WHERE landed_day IN :days AND day >= :first"
        first = min(days) - timedelta(days=late_days)
        changed.events.update(lake.query(text, days=sorted(days), first=first)["day"].to_pylist())
        changed.due.update(days)
    return changed


def _find_waiting_days(lake: Lake, plan: ReadingPlan) -> set[date]:
    """The days up to `plan.last_day` on which waiting lines are due that no run has counted."""
    if not plan.waiting:
        return set()
    text = " UNION ".join(
        f"SELECT day FROM bronze.raw_{kind} WHERE file IN :names AND day > :counted_to AND day <= :last_day"
        for kind in KINDS
    )
    names, counted_to = [row["file"] for row in plan.waiting], min(row["counted_to"] for row in plan.waiting)
    return set(lake.query(text, names=names, counted_to=counted_to, last_day=plan.last_day)["day"].to_pylist())


def find_due_days(lake: Lake, plan: ReadingPlan, changed_days: set[date], since: date, day: date) -> list[date]:
    """The days whose lines this run counts: `since` to `day`, and days of lines that it has read or that changed.

    Lines that are due after the last day that was run wait for the run of their day.
    """
    read_days: set[date] = set()
    if names := [file.name for file in plan.files]:
        text = " UNION ".join(
            f"SELECT day FROM bronze.raw_{kind} WHERE run_id = :run AND file IN :names" for kind in KINDS
        )
        read_days.update(lake.query(text, run=lake.run_id, names=names)["day"].to_pylist())
    return sorted({*list_days(since, day), *(due for due in read_days | changed_days if due <= plan.last_day)})
