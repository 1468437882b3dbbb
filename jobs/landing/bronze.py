"""Lines of log files into the bronze tables: each line once, on the day on which it is due."""

from datetime import date
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.lake.lake import read_transform
from jobs.lake.session import compute_once
from jobs.lake.staging import Staging
from jobs.landing.accounting import LineCount, count_rejected
from jobs.landing.files import KINDS, Listing
from jobs.landing.folder import LandingFolder
from jobs.landing.landed import ReadingPlan
from jobs.landing.line_groups import LineGroups
from jobs.landing.lines import describe_reading, read_lines
from jobs.landing.parse import REFUSED
from jobs.landing.settings import Landing
from jobs.landing.toml import FILE_NAME

MANY_ROWS = 100_000  # Spark writes a table of at least so many rows faster than one process does


def land_lines(
    lake: Lake, staging: Staging, landing: Landing, plan: ReadingPlan, before: LineGroups, since: date, day: date
) -> None:
    """Stage the lines of the files to read for bronze.raw_events and bronze.raw_items, each on its due day.

    A line in a day folder is due on that day, or on its own if the time zone of the folders makes that one later. Any
    other line is due on its own date. An item without any date is due on `since`, or on `day` if its file was landed
    before.

    before  lines that the bronze tables have of the files. Those of a file that was of the other kind are taken away
    """
    first_day = min([since, *lake.partition_days("silver.events")])
    values = {"since": since, "day": day, "run_id": lake.run_id, "first_day": first_day}
    for kind in KINDS:
        table, parts = f"bronze.raw_{kind}", []
        replaced = {group.file for group in before if group.kind == kind} & {file.name for file in plan.files}
        for was_landed in (False, True):
            files = [f for f in plan.files if f.kind == kind and (f.name in plan.landed_before) == was_landed]
            if files:
                reading = describe_reading(kind, landing, values | {"undated_day": day if was_landed else since})
                rows = read_lines(lake, reading, files, landing.local_mib)
                loose = [file.name for file in files if file.day is None and file.name in replaced]
                parts.append(_keep_older_lines(lake, kind, rows, loose) if loose else rows)
        if replaced:
            names = replaced | {file.name for file in plan.files if file.kind == kind}
            staging.replace(table, _concat(lake, table, parts), file=sorted(names))
        elif parts:
            staging.append(table, _concat(lake, table, parts))


def _keep_older_lines(lake: Lake, kind: str, rows: DataFrame | pa.Table, loose: list[str]) -> DataFrame | pa.Table:
    """Add the lines that files outside day folders no longer have (see sql/transforms/merge_lines_<kind>.sql)."""
    if isinstance(rows, DataFrame):
        rows = compute_once(rows)
        is_of_loose = F.col("file").isin(loose)
        rows.where(is_of_loose).createOrReplaceTempView("new_lines")
        return rows.where(~is_of_loose).unionByName(lake.transform(f"merge_lines_{kind}", files=loose))
    is_loose = pc.is_in(rows["file"], pa.array(loose))
    merged = lake.query(read_transform(f"merge_lines_{kind}"), {"new_lines": rows.filter(is_loose)}, files=loose)
    return pa.concat_tables([rows.filter(pc.invert(is_loose)), merged.cast(rows.schema)])


def _concat(lake: Lake, table: str, parts: list[DataFrame | pa.Table]) -> DataFrame | pa.Table:
    """Rows that were read in several ways as one table. Spark takes what the job read itself, as it is small."""
    tables = [part for part in parts if isinstance(part, pa.Table)]
    if len(tables) == len(parts):
        return pa.concat_tables(tables) if tables else contracts()[table].arrow.empty_table()
    frames = [lake.spark.createDataFrame(part) if isinstance(part, pa.Table) else part for part in parts]
    return reduce(DataFrame.unionByName, frames)


def check_refusals(lake: Lake, due_days: list[date]) -> None:
    """raises UserError if a file that this run read is not what it should be"""
    text = " UNION ALL ".join(
        f"""SELECT file, reason FROM bronze.raw_{kind}
            WHERE day IN :days AND run_id = :run AND reason LIKE :refused"""
        for kind in KINDS
    )
    refused = lake.query(text + " ORDER BY file", days=due_days, run=lake.run_id, refused=f"{REFUSED}%").to_pylist()
    if refused:
        more = f" ({len(refused) - 1:,} more files are refused, too)" if len(refused) > 1 else ""
        raise UserError(f"{refused[0]['file']}: {refused[0]['reason'].removeprefix(REFUSED)}{more}")


def check_day_has_events(lake: Lake, landing: Landing, listing: Listing, folder: LandingFolder, day: date) -> None:
    """raises UserError if no event of the day has ever come, unless the settings allow that"""
    if landing.may_be_empty or any(file.kind == "events" and file.day == day for file in listing.files):
        return
    if not lake.query("SELECT 1 FROM bronze.raw_events WHERE day = :day LIMIT 1", day=day).num_rows:
        raise UserError(
            f"{folder} holds no events of {day}; land the files of that day, or, if a day may have none, write"
            f" may_be_empty = true at the top of {folder / FILE_NAME}"
        )


def replace_rejects(lake: Lake, days: list[date], counts: dict[str, list[LineCount]]) -> None:
    """Copy the rejected lines of the days to bronze.rejects."""
    text = " UNION ALL ".join(
        f"""SELECT '{kind}' AS source, file, line, raw, reason, run_id, day FROM bronze.raw_{kind}
            WHERE reason IS NOT NULL AND day IN :days"""
        for kind in KINDS
    )
    has_few_rows = sum(count_rejected(counts[kind]) for kind in KINDS) < MANY_ROWS
    rows = lake.query(text, days=days) if has_few_rows else lake.sql(text, days=days)
    lake.replace("bronze.rejects", rows, day=days)
