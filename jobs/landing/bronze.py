"""Lines of log files into the bronze tables: each line once, on the day on which it is due."""

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Lake, day_range_predicate
from jobs.landing.accounting import LineCount, count_rejected
from jobs.landing.files import KINDS, LandingFile
from jobs.landing.lines import fields_type, read_lines

VIEWS = {"events": "event_lines", "items": "item_lines"}  # what sql/transforms/parse_<kind>.sql reads
MANY_ROWS = 100_000  # Spark writes a table of at least so many rows faster than one process does


def find_first_event_day(files: list[LandingFile]) -> date | None:
    """The earliest day folder that holds events."""
    return min((file.day for file in files if file.kind == "events" and file.day), default=None)


def land_lines(lake: Lake, files: list[LandingFile], span: dict[str, date], first_event_day: date | None) -> None:
    """Read each line once, and write those that are due from `since` to `day` to bronze.raw_events and raw_items.

    A line in a day folder is due on that day, any other line on its own date. A line with neither is due on the first
    day of the log, the earlier of `first_event_day` and the first date of an event outside day folders.

    span  `since` and `day`, both included
    """
    parsed = {kind: _parse_lines(lake, kind, [file for file in files if file.kind == kind]) for kind in KINDS}
    has_loose_files = any(file.day is None for file in files)  # outside day folders
    first_day = first_event_day
    if has_loose_files:
        parsed = {kind: lines.persist() for kind, lines in parsed.items()}
        first_due = {kind: _find_first_due_day(lines) for kind, lines in parsed.items()}
        event_days = [day for day in (first_event_day, first_due["events"]) if day]
        first_day = min(event_days, default=first_due["items"])
    first_day = first_day or span["day"]
    for kind, lines in parsed.items():
        due = F.coalesce("day", F.lit(first_day))
        if kind == "items" and has_loose_files:
            # Items that are older than the first event are due on its day: nothing lands before the log begins.
            due = F.greatest(due, F.lit(first_day))
        rows = lines.withColumn("day", due).withColumn("run_id", F.lit(lake.run_id))
        rows = rows.where(F.col("day").between(span["since"], span["day"]))
        lake.replace(f"bronze.raw_{kind}", rows, where=day_range_predicate(**span))
        lines.unpersist()


def _parse_lines(lake: Lake, kind: str, files: list[LandingFile]) -> DataFrame:
    # Spark Connect looks a view up when the query runs. If both kinds shared a name, one kind would be read twice.
    read_lines(lake.spark, kind, files).createOrReplaceTempView(VIEWS[kind])
    return lake.transform(f"parse_{kind}", fields=f"ARRAY<{fields_type(kind)}>")


def _find_first_due_day(lines: DataFrame) -> date | None:
    row = lines.where("reason IS NULL").agg(F.min("day")).first()
    return row[0] if row else None


def replace_rejects(lake: Lake, span: dict[str, date], counts: dict[str, list[LineCount]]) -> None:
    """Copy the rejected lines of the days to bronze.rejects."""
    text = " UNION ALL ".join(
        f"""SELECT '{kind}' AS source, file, line, raw, reason, run_id, day FROM bronze.raw_{kind}
            WHERE reason IS NOT NULL AND day BETWEEN :since AND :day"""
        for kind in KINDS
    )
    has_few_rows = sum(count_rejected(counts[kind]) for kind in KINDS) < MANY_ROWS
    rows = lake.query(text, **span) if has_few_rows else lake.sql(text, **span)
    lake.replace("bronze.rejects", rows, where=day_range_predicate(**span))
