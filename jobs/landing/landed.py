"""bronze.landed_files: what is known of each file of the landing folder, and which files a run must read."""

import hashlib
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.landing.files import LandingFile, Listing
from jobs.landing.settings import Landing

TABLE = "bronze.landed_files"
TOO_OLD = "older than the days that were landed: land it as history with --since"
Row = dict[str, Any]


@dataclass
class ReadingPlan:
    """Which files a run reads, and what the run must know of other files that were landed.

    last_day       the last day that was run, or that this run is for: lines that are due later wait
    files          new files, and those that have changed since they were read
    rows           what bronze.landed_files has to say of `files` while they are read
    again          names of those `files` of which bronze tables may hold lines
    landed_before  names of those `files` that an earlier run landed
    interrupted    days of the day folders whose files a run began to read, and that count again now
    gone           files that a run began to read, and that are gone: of their lines, those in bronze tables stay
    waiting        other files that have lines which waited for their day, and are due now
    left_out       names of files that are too old for this run, and were not landed as they are now
    """

    last_day: date
    files: list[LandingFile] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    again: set[str] = field(default_factory=set)
    landed_before: set[str] = field(default_factory=set)
    interrupted: set[date] = field(default_factory=set)
    gone: list[Row] = field(default_factory=list)
    waiting: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def plan_reading(lake: Lake, listing: Listing, landing: Landing, since: date, day: date) -> ReadingPlan:
    """Compare the landing folder with bronze.landed_files.

    A run reads the files of its days, files outside day folders, and files that came late: those of a day folder of
    the last `late_days` that is not older than the oldest one landed. A file that is gone changes nothing.
    """
    known = {row["file"]: row for row in lake.arrow(TABLE).to_pylist()}
    landed = [row for row in known.values() if row["status"] == "landed"]
    oldest = min([since, *(row["folder_day"] for row in landed if row["folder_day"])])
    oldest = max(oldest, since - timedelta(days=landing.late_days))
    plan = ReadingPlan(max([day, *lake.partition_days("silver.events"), *(row["day"] for row in landed)]))
    for file in listing.files:
        row = known.get(file.name)
        reading: Row = {"reading_hash": hash_reading(landing, file.kind), "earliest_day": None}
        if file.kind == "events":
            reading["earliest_day"] = min(since, file.day or since) - timedelta(days=landing.late_days)
        if (file.day and file.day > day) or (row and _is_landed(row, file, reading)):
            continue
        if file.day and file.day < oldest:
            plan.left_out.append(file.name)
        else:
            _add_file(lake, plan, file, row, reading, day)
    _add_unread(plan, known, listing)
    return plan


def _is_landed(row: Row, file: LandingFile, reading: Row) -> bool:
    """Whether a file was landed as it is now, and this run would not accept more of its lines."""
    if row["status"] != "landed" or row["reading_hash"] != reading["reading_hash"] or row["size"] != file.size:
        return False
    if row["kind"] != file.kind:
        return False
    if row["earliest_day"] and row["rows_rejected"] and reading["earliest_day"] < row["earliest_day"]:
        return False
    return bool(row["modified"] == file.modified) or row["content_hash"] == file.hash()


def _add_file(lake: Lake, plan: ReadingPlan, file: LandingFile, row: Row | None, reading: Row, day: date) -> None:
    plan.files.append(file)
    plan.rows.append(
        (row or {}) | reading | {
            "file": file.name, "kind": file.kind, "format": file.format, "folder_day": file.day, "size": file.size,
            "modified": file.modified, "content_hash": file.hash(), "status": "reading", "reason": None,
            "run_id": lake.run_id, "day": day,
        }
    )  # fmt: skip
    if row and row["status"] != "ignored":
        plan.again.add(file.name)
        if row["rows"] is not None:
            plan.landed_before.add(file.name)
        if row["status"] == "reading" and row["folder_day"]:
            plan.interrupted.add(row["folder_day"])


def _add_unread(plan: ReadingPlan, known: dict[str, Row], listing: Listing) -> None:
    """Add the files that are not read, but of which lines may have to be counted."""
    read_now = {file.name for file in plan.files}
    listed = {file.name for file in listing.files}
    for name, row in known.items():
        if row["status"] == "reading" and name not in listed:
            plan.gone.append(row)
            if row["folder_day"]:
                plan.interrupted.add(row["folder_day"])
        elif name not in read_now and row["rows_waiting"] and row["counted_to"] < plan.last_day:
            plan.waiting.append(row)


def hash_reading(landing: Landing, kind: str) -> str:
    """A hash of the settings that change what is read from a file."""
    dialect = getattr(landing, kind).model_dump_json(exclude={"files"})
    return hashlib.sha256(f"{dialect} {landing.time_zone} {landing.day_zone}".encode()).hexdigest()[:12]


def begin_reading(lake: Lake, plan: ReadingPlan) -> None:
    """Write down which files this run reads, so that another run reads them again if this one does not succeed."""
    _merge(lake, plan.rows)


def finish_reading(lake: Lake, plan: ReadingPlan, ignored: list[Row]) -> None:
    """Write down that the lines of the files count from now on, and how many there are."""
    rows = [row | {"status": "landed"} for row in plan.rows]
    counts = _count_rows(lake, [row["file"] for row in [*rows, *plan.gone, *plan.waiting]], plan.last_day)
    # Of a file that is gone, it is not known which content its lines are of. If it comes again, it is read again.
    rows += [row | {"status": "landed", "reading_hash": None} for row in plan.gone if row["file"] in counts]
    rows += plan.waiting
    no_rows = {"rows": 0, "rows_rejected": 0, "rows_waiting": 0}
    _merge(lake, [row | counts.get(row["file"], no_rows) | {"counted_to": plan.last_day} for row in rows] + ignored)


def _count_rows(lake: Lake, names: list[str], last_day: date) -> dict[str, Row]:
    """The numbers of lines of files, by the name of the file."""
    if not names:
        return {}
    text = " UNION ALL ".join(
        f"""SELECT file, count(*) AS rows, count(reason) AS rows_rejected, count_if(day > :last_day) AS rows_waiting
            FROM bronze.raw_{kind} WHERE file IN :names GROUP BY file"""
        for kind in ("events", "items")
    )
    return {row["file"]: row for row in lake.query(text, names=names, last_day=last_day).to_pylist()}


def list_unread(lake: Lake, listing: Listing, plan: ReadingPlan, folder: Path, day: date) -> list[Row]:
    """The files that are not read, as rows of bronze.landed_files, apart from those that it lists already."""
    known = set(lake.arrow(TABLE, ["file"])["file"].to_pylist())
    rows = []
    for name, reason in (listing.ignored | dict.fromkeys(plan.left_out, TOO_OLD)).items():
        if name not in known:
            file = LandingFile("", "", str(folder / name), name, None)
            rows.append(
                {"file": name, "size": file.size, "modified": file.modified, "status": "ignored", "reason": reason}
                | {"run_id": lake.run_id, "day": day}
            )
    return rows


def _merge(lake: Lake, rows: list[Row]) -> None:
    if rows:
        lake.upsert(TABLE, pa.Table.from_pylist(rows, contracts()[TABLE].arrow), key="file")
