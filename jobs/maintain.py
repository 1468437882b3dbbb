"""Keep the tables small: merge small files, and delete the files of old versions.

    python -m jobs.maintain --day 2026-11-20

Small files of one partition become one (OPTIMIZE); no row changes. Days that were written in the last two days are left
alone, because a run may still work on them. Old days of silver.histories become months. Then files are deleted that
only old versions of a table have (VACUUM).
These stay: all that a table had in the last seven days, and the versions that releases name: the newest
`[maintain] releases` of them, and those that a rollback would make live. Also deleted are files older than seven days
that no version has: a killed run left them.
"""

import sys
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
from deltalake import DeltaTable

from jobs.lake import JobResult, Lake
from jobs.lake.contracts import contracts
from jobs.lake.store import list_files, open_store
from jobs.landing.histories import TABLE as HISTORIES
from jobs.landing.histories import merge_months
from jobs.release.releases import find_rollback, list_releases
from jobs.runtime.entry import main
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings

RETENTION_HOURS = 7 * 24  # longer than any run: each reads the versions that it began with
QUIET = timedelta(days=2)  # longer than any run, too
ROLLBACKS = 2  # that can follow each other and find all their tables


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    kept = _list_kept_versions(lake, settings.maintain.releases)
    notes = {"days_merged": merge_months(lake, day), "files_merged": 0, "files_deleted": 0, "versions_gone": 0}
    report_progress = progress("maintaining tables")
    for done, name in enumerate(contracts(), start=1):
        versions, gone = _split_versions(lake, name, kept.get(name, set()))
        if name != HISTORIES:  # its files are sorted, which OPTIMIZE does not keep
            notes["files_merged"] += _merge_small_files(lake, name)
        notes["files_deleted"] += _delete_old_files(lake, name, versions)
        notes["versions_gone"] += len(gone)
        report_progress(done, len(contracts()))
    if notes["versions_gone"]:
        print(f"warning: {notes['versions_gone']} table versions of releases are gone", file=sys.stderr, flush=True)
    return JobResult(notes=notes)


def _list_kept_versions(lake: Lake, count: int) -> dict[str, set[int]]:
    """The versions of each table that releases name: the newest ones, and those to which rollbacks would lead."""
    releases = list_releases(lake)
    named, rows = releases[:count], releases
    for _ in range(ROLLBACKS):
        if rows and (target := find_rollback(rows)):
            named, rows = [*named, target], [target | {"release": rows[0]["release"] + 1, "kind": "rollback"}, *rows]
    kept: dict[str, set[int]] = {}
    for release in named:
        for name, version in release["tables"]:
            kept.setdefault(name, set()).add(version)
    return kept


def _split_versions(lake: Lake, name: str, versions: set[int]) -> tuple[list[int], list[int]]:
    """Those that the log of a table has, and those that it has no more."""
    known = {commit["version"] for commit in DeltaTable(lake.path(name)).history()} if versions else set()
    return sorted(versions & known), sorted(versions - known)


def _merge_small_files(lake: Lake, name: str) -> int:
    """Returns how many files were merged."""
    table = DeltaTable(lake.path(name))
    filters = None
    if "day" in contracts()[name].partitions:
        if not (days := _list_quiet_days(table)):
            return 0
        filters = [("day", "in", days)]
    merged: int = table.optimize.compact(filters, commit_properties=lake.commit_properties())["numFilesRemoved"]
    if merged:
        lake.record_write(name)
    return merged


def _list_quiet_days(table: DeltaTable) -> list[str]:
    """The days of a table whose files are all older than `QUIET`."""
    files = pa.table(table.get_add_actions(flatten=True)).select(["partition.day", "modification_time"])
    newest = files.group_by("partition.day").aggregate([("modification_time", "max")]).to_pylist()
    limit = (datetime.now(UTC) - QUIET).timestamp() * 1000  # Delta's unit is the millisecond
    return sorted(str(row["partition.day"]) for row in newest if row["modification_time_max"] <= limit)


def _delete_old_files(lake: Lake, name: str, kept: list[int]) -> int:
    """Returns how many files were deleted."""
    store, folder = open_store(lake.path(name))
    before = {info.path.removeprefix(f"{folder}/") for info in list_files(store, folder)}
    old = DeltaTable(lake.path(name)).vacuum(
        RETENTION_HOURS, dry_run=False, full=True, keep_versions=kept, commit_properties=lake.commit_properties()
    )
    return len(before.intersection(old))  # what an earlier run has deleted is named again


if __name__ == "__main__":
    main(run)
