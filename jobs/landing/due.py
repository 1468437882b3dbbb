"""Which days a run of ingest counts and writes again."""

from datetime import date

from jobs.lake import Lake
from jobs.landing.landed import ReadingPlan
from jobs.landing.lines import list_days


def find_due_days(lake: Lake, since: date, day: date) -> list[date]:
    """The days whose lines this run counts: `since` to `day`, and days of lines that it has just read.

    Lines that are due after `day` wait for the run of their day, unless that was before this one.
    """
    text = """SELECT day FROM bronze.raw_events WHERE run_id = :run
              UNION SELECT day FROM bronze.raw_items WHERE run_id = :run"""
    read_days = set(lake.query(text, run=lake.run_id)["day"].to_pylist())
    last_day = max([day, *lake.partition_days("silver.events")])
    return sorted({*list_days(since, day), *(read_day for read_day in read_days if read_day <= last_day)})


def find_changed_event_days(lake: Lake, plan: ReadingPlan) -> set[date]:
    """The event days of the files that are read again: their lines may be gone, or of other days now."""
    names = [*plan.again, *plan.abandoned]
    if not names:
        return set()
    text = """SELECT DISTINCT event_day FROM bronze.raw_events
              WHERE reason IS NULL AND file IN :names AND event_day IN (SELECT DISTINCT day FROM silver.events)"""
    return set(lake.query(text, names=names)["event_day"].to_pylist())
