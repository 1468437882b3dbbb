"""Lines of log files into the bronze tables: each line once, on the day on which it is due."""

import tempfile
from collections.abc import Iterable, Iterator
from datetime import date
from functools import reduce
from itertools import chain

import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import DataFrame

from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.lake.rows import Rows
from jobs.lake.session import compute_once
from jobs.lake.staging import Staging
from jobs.landing.files import KINDS, LandingFile, Listing
from jobs.landing.folder import LandingFolder
from jobs.landing.landed import ReadingPlan
from jobs.landing.line_groups import LineGroups
from jobs.landing.lines import describe_reading, read_lines
from jobs.landing.parse import REFUSED
from jobs.landing.settings import Landing
from jobs.landing.toml import FILE_NAME


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
        table, parts = f"bronze.raw_{kind}", list[Rows]()
        on_spark = sum(file.size for file in plan.files if file.kind == kind) >= landing.local_mib << 20
        replaced = {group.file for group in before if group.kind == kind} & {file.name for file in plan.files}
        for was_landed in (False, True):
            files = [f for f in plan.files if f.kind == kind and (f.name in plan.landed_before) == was_landed]
            if files:
                reading = describe_reading(kind, landing, values | {"undated_day": day if was_landed else since})
                loose = [file for file in files if file.day is None and file.name in replaced]
                others = [file for file in files if file not in loose]
                if others:
                    parts.append(read_lines(lake, reading, others, on_spark))
                if loose:
                    parts.append(_keep_older_lines(lake, kind, read_lines(lake, reading, loose, on_spark), loose))
        if replaced:
            names = replaced | {file.name for file in plan.files if file.kind == kind}
            staging.replace(table, _concat(parts), file=sorted(names))
        elif parts:
            staging.append(table, _concat(parts))


def _keep_older_lines(lake: Lake, kind: str, rows: Rows, loose: list[LandingFile]) -> Rows:
    """Add the lines that files outside day folders no longer have (see sql/transforms/merge_lines_<kind>.sql)."""
    names = [file.name for file in loose]
    if isinstance(rows, DataFrame):
        compute_once(rows).createOrReplaceTempView("new_lines")
        return lake.transform(f"merge_lines_{kind}", files=names)
    return _merge_in_process(lake, kind, rows, names)


def _merge_in_process(
    lake: Lake, kind: str, rows: Iterable[pa.RecordBatch], names: list[str]
) -> Iterator[pa.RecordBatch]:
    """The query reads the new lines twice, so they wait in a file: they may not fit in memory."""
    with tempfile.TemporaryDirectory() as folder:
        schema = contracts()[f"bronze.raw_{kind}"].arrow
        ds.write_dataset(rows, folder, schema=schema, format="feather")
        views = {"new_lines": ds.dataset(folder, schema, format="feather")}
        yield from lake.stream_transform(f"merge_lines_{kind}", views, files=names)


def _concat(parts: list[Rows]) -> Rows:
    """Rows that were read in several ways as one stream or one frame, which all of them are."""
    frames = [part for part in parts if isinstance(part, DataFrame)]
    assert len(frames) in (0, len(parts))
    return reduce(DataFrame.unionByName, frames) if frames else chain.from_iterable(parts)


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


def replace_rejects(lake: Lake, days: list[date]) -> None:
    """Copy the rejected lines of the days to bronze.rejects."""
    text = " UNION ALL ".join(
        f"""SELECT '{kind}' AS source, file, line, raw, reason, run_id, day FROM bronze.raw_{kind}
            WHERE reason IS NOT NULL AND day IN :days"""
        for kind in KINDS
    )
    lake.replace("bronze.rejects", lake.stream(text, days=days), day=days)
