"""Good lines from the bronze tables into silver.events and silver.items."""

from datetime import date

from jobs.lake import Lake
from jobs.lake.rows import SPARK_FROM_ROWS
from jobs.lake.staging import Staging


def stage_events(lake: Lake, staging: Staging, days: list[date]) -> None:
    """Stage days of silver.events again, from all good lines of these days in bronze.raw_events."""
    if not days:
        return
    rows = lake.compute("clean_events", has_few_lines(lake, days), days=days, first_day=min(days))
    staging.replace("silver.events", rows, day=days)


def has_few_lines(lake: Lake, days: list[date]) -> bool:
    """Whether this process, and not Spark, reads all lines of events of these days."""
    text = "SELECT count(*) AS n FROM bronze.raw_events WHERE event_day IN :days AND day >= :first_day"
    return bool(lake.query(text, days=days, first_day=min(days))["n"][0].as_py() < SPARK_FROM_ROWS)


def stage_items(lake: Lake, staging: Staging, days: list[date], last_day: date) -> None:
    """Stage the items of the days that are new or have another version, for silver.items.

    last_day  the last day that was run; lines that are due later wait
    """
    text = """SELECT (SELECT count(*) FROM bronze.raw_items WHERE day IN :days AND reason IS NULL) AS lines,
                     (SELECT count(*) FROM silver.items WHERE day IN :days) AS items"""
    number = lake.query(text, days=days).to_pylist()[0]
    if number["lines"] + number["items"]:
        in_process = number["lines"] + number["items"] < SPARK_FROM_ROWS
        # Old lines matter only for items whose version is of these days.
        history_from = date(1970, 1, 1) if number["items"] else date.max
        rows = lake.compute("latest_items", in_process, days=days, last_day=last_day, history_from=history_from)
        staging.merge("silver.items", rows, key="item_id")


def find_items_without_lines(lake: Lake, days: list[date], last_day: date) -> list[str]:
    """Find the items whose only lines a corrected file no longer has."""
    text = """SELECT item_id FROM silver.items WHERE day IN :days
              EXCEPT SELECT item_id FROM bronze.raw_items WHERE reason IS NULL AND day <= :last_day"""
    item_ids: list[str] = lake.query(text, days=days, last_day=last_day)["item_id"].to_pylist()
    return item_ids
