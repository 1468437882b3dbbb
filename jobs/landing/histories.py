"""Two tables that spare jobs from reading all of silver.events: what known users did, and the IDs of all items.

silver.histories has no impressions, and few files: an old month is one span instead of thirty. Days stay spans of their
own for a month or two, so that late lines cost little.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow.dataset as ds
from deltalake import DeltaTable

from jobs.lake import Lake, UserError
from jobs.lake.rows import SPARK_FROM_ROWS
from jobs.lake.staging import Staging
from jobs.landing.accounting import load_touched_days
from jobs.landing.landed import TABLE as LANDED_FILES

TABLE, ITEM_IDS = "silver.histories", "silver.item_ids"


@dataclass(frozen=True)
class SpansToWrite:
    """Which spans are written again.

    days    days that are read from silver.events
    read    spans whose other days stay as they are
    months  months that are one span from now on
    """

    days: list[date]
    read: set[str]
    months: set[str]


def stage_item_ids(lake: Lake, staging: Staging, days: list[date]) -> None:
    """Stage the items of good lines of these days that silver.item_ids lacks. They are published before the events."""
    if days := _add_older_days(lake, ITEM_IDS, days):
        lines = "SELECT count(*) AS n FROM bronze.raw_events WHERE event_day IN :days AND day >= :first_day"
        in_process = lake.query(lines, days=days, first_day=days[0])["n"][0].as_py() < SPARK_FROM_ROWS
        staging.append(ITEM_IDS, lake.compute("new_item_ids", in_process, days=days, first_day=days[0]))


def stage_histories(lake: Lake, staging: Staging, days: list[date], last_day: date) -> None:
    """Stage days of silver.histories again, from silver.events; also those of runs that did not end well.

    last_day  the last day that was run: what is old depends on it
    """
    runs = set(lake.arrow(LANDED_FILES, ["day"], ds.field("status") == "reading")["day"].to_pylist())
    touched = {event_day for run_day in runs for event_day in load_touched_days(lake, run_day)}
    if days := _add_older_days(lake, TABLE, sorted({*days, *touched})):
        events = "SELECT count(*) AS n FROM silver.events WHERE day IN :days AND event <> 'impression'"
        in_process = lake.query(events, days=days)["n"][0].as_py() < SPARK_FROM_ROWS
        _stage(lake, staging, plan_spans(_list_spans(lake), days, last_day), in_process)


def check_filled(lake: Lake) -> None:
    """raises UserError if the lake is older than silver.histories, so that the table lacks all days"""
    is_new = lake.pins.get(TABLE, lake.version(TABLE)) == 0  # `lake.delta` would count it as an input
    if is_new and DeltaTable(lake.path("silver.events")).partitions():
        raise UserError("the table silver.histories is new, and still empty: run ingest of any day, which fills it")


def merge_months(lake: Lake, day: date) -> int:
    """Make one span of each month that ended before the month before a day. Returns the number of days merged."""
    known = _list_spans(lake)
    old = {span for span in known if _is_day(span) and span < str(_first_recent_day(day))}
    if old:
        text = "SELECT count(*) AS n FROM silver.histories WHERE span IN :spans"
        in_process = lake.query(text, spans=sorted(old))["n"][0].as_py() < SPARK_FROM_ROWS
        with Staging(lake) as staging:
            months = {span[:7] for span in old}
            _stage(lake, staging, SpansToWrite([], old | (months & known), months), in_process)
    return len(old)


def plan_spans(known: set[str], days: list[date], last_day: date) -> SpansToWrite:
    """Which spans must be written again if these days have changed.

    A month is one span, or it has spans of its days. Its days go into one span at once if they are old.

    known     the spans that the table has
    last_day  the last day that was run
    """
    changed = set(map(str, days))
    months_of_days = {span[:7] for span in known - changed if _is_day(span)}
    old = {str(day)[:7] for day in days if day < _first_recent_day(last_day)} - months_of_days
    months = old | ({span[:7] for span in changed} & known)
    return SpansToWrite(days, months & known, months)


def _stage(lake: Lake, staging: Staging, spans: SpansToWrite, in_process: bool) -> None:
    no_span, no_day = [""], [date.min]  # SQL knows no empty list
    rows = lake.compute(
        "histories", in_process, days=spans.days or no_day, spans=sorted(spans.read) or no_span,
        months=sorted(spans.months) or no_span,
    )  # fmt: skip
    # Also the months of days that stay spans of their own: if another run has made such a month, it has these days.
    replaced = {str(day)[:length] for day in spans.days for length in (7, 10)} | spans.read | spans.months
    staging.replace(TABLE, rows, is_sorted=True, computed_at=lake.delta(TABLE).version(), span=sorted(replaced))


def _add_older_days(lake: Lake, table: str, days: list[date]) -> list[date]:
    """All days of silver.events if the table was never written: it is new, or newer than the lake."""
    return sorted(lake.partition_days("silver.events") | set(days)) if lake.delta(table).version() == 0 else days


def _list_spans(lake: Lake) -> set[str]:
    return {partition["span"] for partition in lake.delta(TABLE).partitions()}


def _first_recent_day(day: date) -> date:
    """The first day of the month before the month of a day. What came before is old: late lines of it are rare."""
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


def _is_day(span: str) -> bool:
    return len(span) > len("2026-11")
