"""bronze.landed_files: what is known of each file of the landing folder, and which files a run must read."""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.landing.files import LandingFile, Listing
from jobs.landing.settings import Landing

TABLE = "bronze.landed_files"
Row = dict[str, Any]


@dataclass(frozen=True)
class ReadingPlan:
    """Which files a run reads.

    files      new ones, and those that have changed since they were read
    again      names of those that an earlier run read or began to read
    abandoned  names of files that an earlier run began to read, and that are not read now
    left_out   names of files that were never landed and are too old for this run
    rows       what bronze.landed_files has to say of `files`, and of files that are ignored
    """

    files: list[LandingFile]
    again: set[str]
    abandoned: list[str]
    left_out: list[str]
    rows: list[Row]


def plan_reading(lake: Lake, listing: Listing, landing: Landing, since: date, day: date) -> ReadingPlan:
    """Compare the landing folder with bronze.landed_files.

    A run reads the files of its days, files outside day folders, and files that came late: those of a day folder of
    the last `late_days` that is not older than the oldest one landed. A file that is gone changes nothing.
    """
    known = {row["file"]: row for row in lake.arrow(TABLE).to_pylist()}
    landed_days = [row["folder_day"] for row in known.values() if row["status"] == "landed" and row["folder_day"]]
    oldest = max(min(landed_days, default=since), since - timedelta(days=landing.late_days))
    plan = ReadingPlan([], set(), [], [], [])
    for file in listing.files:
        row = known.get(file.name)
        if file.day and file.day > day:
            continue
        reading_hash = hash_reading(landing, file.kind)
        if row and row["status"] == "landed" and row["reading_hash"] == reading_hash and _is_unchanged(row, file):
            continue
        if file.day and file.day < min(since, oldest):
            if not row:
                plan.left_out.append(file.name)
            continue
        plan.files.append(file)
        plan.rows.append(_build_row(lake, file, reading_hash, day))
        if row and row["status"] != "ignored":
            plan.again.add(file.name)
    read_now = {file.name for file in plan.files}
    plan.abandoned.extend(name for name, row in known.items() if row["status"] == "reading" and name not in read_now)
    return plan


def hash_reading(landing: Landing, kind: str) -> str:
    """A hash of the settings that change what is read from a file."""
    dialect = getattr(landing, kind).model_dump_json(exclude={"files"})
    return hashlib.sha256(f"{dialect} {landing.time_zone} {landing.day_zone}".encode()).hexdigest()[:12]


def _is_unchanged(row: Row, file: LandingFile) -> bool:
    if row["size"] != file.size:
        return False
    return bool(row["modified"] == file.modified) or row["content_hash"] == file.hash()


def _build_row(lake: Lake, file: LandingFile, reading_hash: str, day: date) -> Row:
    return {
        "file": file.name, "kind": file.kind, "format": file.format, "folder_day": file.day, "size": file.size,
        "modified": file.modified, "content_hash": file.hash(), "reading_hash": reading_hash, "status": "reading",
        "run_id": lake.run_id, "day": day,
    }  # fmt: skip


def begin_reading(lake: Lake, plan: ReadingPlan) -> None:
    """Write down which files this run reads, so that another run reads them again if this one does not succeed."""
    _merge(lake, plan.rows)


def finish_reading(lake: Lake, plan: ReadingPlan, ignored: list[Row]) -> None:
    """Write down that the lines of the files count from now on, and how many there are."""
    if plan.rows:
        names = [row["file"] for row in plan.rows]
        text = " UNION ALL ".join(
            f"""SELECT file, count(*) AS n, count(reason) AS rejected, count_if(day > :day) AS waiting
                FROM bronze.raw_{kind} WHERE file IN :names GROUP BY file"""
            for kind in ("events", "items")
        )
        counts = {row["file"]: row for row in lake.query(text, names=names, day=plan.rows[0]["day"]).to_pylist()}
        none = {"n": 0, "rejected": 0, "waiting": 0}
        for row in plan.rows:
            count = counts.get(row["file"], none)
            row |= {"status": "landed", "rows": count["n"], "rows_rejected": count["rejected"]}
            row |= {"rows_waiting": count["waiting"]}
    _merge(lake, plan.rows + ignored)


def list_ignored(lake: Lake, listing: Listing, folder: Any, day: date) -> list[Row]:
    """The files that are not read, as rows of bronze.landed_files, apart from those that it lists already."""
    known = set(lake.arrow(TABLE, ["file"])["file"].to_pylist())
    rows = []
    for name, reason in listing.ignored.items():
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
