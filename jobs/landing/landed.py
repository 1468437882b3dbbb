"""bronze.landed_files: what is known of each file of the landing folder, and which files a run must read."""

import hashlib
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake.exceptions import CommitFailedError

from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.landing.files import LandingFile, Listing
from jobs.landing.line_groups import LineGroups
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
    known          names of those `files` that bronze.landed_files knew before
    landed_before  names of those `files` that an earlier run landed
    unfinished     what bronze.landed_files says of files that a run began to read, but did not end well
    gone           those `unfinished` files that are gone: of their lines, those in bronze tables stay
    waiting        other files that have lines which waited for their day, and are due now
    left_out       files that are too old for this run, and were not landed as they are now
    """

    last_day: date
    files: list[LandingFile] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    landed_before: set[str] = field(default_factory=set)
    unfinished: list[Row] = field(default_factory=list)
    gone: list[Row] = field(default_factory=list)
    waiting: list[Row] = field(default_factory=list)
    left_out: list[LandingFile] = field(default_factory=list)

    def list_names(self) -> list[str]:
        """The names of the files whose lines this run adds, replaces or counts."""
        return [file.name for file in self.files] + [row["file"] for row in [*self.gone, *self.waiting]]

    def list_known_names(self) -> list[str]:
        """Those of `list_names` of which bronze tables may have lines before the run."""
        new = {file.name for file in self.files} - self.known
        return [name for name in self.list_names() if name not in new]


def plan_reading(lake: Lake, listing: Listing, landing: Landing, since: date, day: date) -> ReadingPlan:
    """Compare the landing folder with bronze.landed_files.

    A run reads the files of its days, files outside day folders, and files that came late: those of a day folder of
    the last `late_days` that is not older than the oldest one landed. A file that is gone changes nothing.
    """
    known = _load_known(lake, listing)
    landed = lake.arrow(TABLE, ["folder_day", "day"], ds.field("status") == "landed")
    oldest = min(since, pc.min(landed["folder_day"]).as_py() or since)
    oldest = max(oldest, since - timedelta(days=landing.late_days))
    last_run = pc.max(landed["day"]).as_py() or day
    plan = ReadingPlan(max([day, last_run, *lake.partition_days("silver.events")]))
    for file in listing.files:
        row = known.get(file.name)
        reading: Row = {"reading_hash": hash_reading(landing, file.kind), "earliest_day": None}
        if file.kind == "events":
            reading["earliest_day"] = min(since, file.day or since) - timedelta(days=landing.late_days)
        if (file.day and file.day > day) or (row and _is_landed(row, file, reading)):
            continue
        if file.day and file.day < oldest:
            plan.left_out.append(file)
        else:
            _add_file(lake, plan, file, row, reading, day)
    _add_unread(plan, known, listing)
    return plan


def _load_known(lake: Lake, listing: Listing) -> dict[str, Row]:
    """What bronze.landed_files says of the files that are in the folder, or of which lines may have to be counted.

    A folder with retention holds few of the files that the table lists.
    """
    names = pa.array([file.name for file in listing.files], pa.string())
    where = ds.field("file").isin(names) | (ds.field("status") == "reading") | (ds.field("rows_waiting") > 0)
    return {row["file"]: row for row in lake.arrow(TABLE, where=where).to_pylist()}


def _is_landed(row: Row, file: LandingFile, reading: Row) -> bool:
    """Whether a file was landed as it is now, and this run would not accept more of its lines."""
    if row["status"] != "landed" or row["reading_hash"] != reading["reading_hash"] or row["size"] != file.size:
        return False
    if (row["kind"], row["format"], row["folder_day"]) != (file.kind, file.format, file.day):  # other patterns now
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
    if row:
        plan.known.add(file.name)
    if row and row["status"] != "ignored":
        if row["rows"] is not None:
            plan.landed_before.add(file.name)
        if row["status"] == "reading":
            plan.unfinished.append(row)


def _add_unread(plan: ReadingPlan, known: dict[str, Row], listing: Listing) -> None:
    """Add the files that are not read, but of which lines may have to be counted."""
    read_now = {file.name for file in plan.files}
    listed = {file.name for file in listing.files}
    for name, row in known.items():
        if row["status"] == "reading" and name not in listed:
            plan.gone.append(row)
            plan.unfinished.append(row)
        elif name not in read_now and row["rows_waiting"] and row["counted_to"] < plan.last_day:
            plan.waiting.append(row)


def hash_reading(landing: Landing, kind: str) -> str:
    """A hash of the settings that change what is read from a file."""
    dialect = getattr(landing, kind).model_dump_json(exclude={"files"})
    return hashlib.sha256(f"{dialect} {landing.time_zone} {landing.day_zone}".encode()).hexdigest()[:12]


def begin_reading(lake: Lake, plan: ReadingPlan) -> None:
    """Write down which files this run reads, so that another run reads them again if this one does not succeed."""
    _merge(lake, plan.rows)


def check_reading(lake: Lake, plan: ReadingPlan) -> None:
    """Check that no other run has begun to read the files since `begin_reading`. Call it before anything is published.

    raises  CommitFailedError if one has. That run takes this one for killed, and lands the lines itself
    """
    names = pa.array([file.name for file in plan.files], pa.string())
    where = ds.field("file").isin(names) & (ds.field("run_id") != lake.run_id)
    for row in lake.arrow(TABLE, ["file"], where, lake.version(TABLE)).to_pylist():
        raise CommitFailedError(f"Failed to commit transaction: another run began to read {row['file']}")


def finish_reading(lake: Lake, plan: ReadingPlan, lines: LineGroups, ignored: list[Row]) -> None:
    """Write down that the lines of the files count from now on, and how many there are.

    lines  those that the bronze tables have of the files of the plan
    """
    counts = {row["file"]: {"rows": 0, "rows_rejected": 0, "rows_waiting": 0} for row in [*plan.rows, *plan.waiting]}
    for group, (number, _) in lines.items():
        count = counts.setdefault(group.file, {"rows": 0, "rows_rejected": 0, "rows_waiting": 0})
        count["rows"] += number
        count["rows_rejected"] += number * group.is_rejected
        count["rows_waiting"] += number * (group.day > plan.last_day)
    rows = [row | {"status": "landed"} for row in plan.rows]
    # Of a file that is gone, it is not known which content its lines are of. If it comes again, it is read again.
    rows += [row | {"status": "landed", "reading_hash": None} for row in plan.gone if row["file"] in counts]
    rows += plan.waiting
    _merge(lake, [row | counts[row["file"]] | {"counted_to": plan.last_day} for row in rows] + ignored)


def list_unread(lake: Lake, listing: Listing, plan: ReadingPlan, day: date) -> list[Row]:
    """The files that are not read, as rows of bronze.landed_files, apart from those that it lists already."""
    reasons = listing.ignored | dict.fromkeys(plan.left_out, TOO_OLD)
    is_unread = ds.field("file").isin(pa.array([file.name for file in reasons], pa.string()))
    known = set(lake.arrow(TABLE, ["file"], is_unread)["file"].to_pylist())
    rows = []
    for file, reason in reasons.items():
        if file.name not in known:
            rows.append(
                {"file": file.name, "size": file.size, "modified": file.modified, "status": "ignored", "reason": reason}
                | {"run_id": lake.run_id, "day": day}
            )
    return rows


def _merge(lake: Lake, rows: list[Row]) -> None:
    if rows:
        lake.upsert(TABLE, pa.Table.from_pylist(rows, contracts()[TABLE].arrow), key="file")
