"""Keep the tables small: merge small files, and delete the files of old versions.

    python -m jobs.maintain --day 2026-11-20

Small files of one partition become one (OPTIMIZE); no row changes. Then files are deleted that only old versions of a
table have (VACUUM). These stay: all that a table had in the last seven days, and the versions that the newest
`[maintain] releases` releases name. Also deleted are files older than seven days that no version has: a killed run
left them.
"""

from datetime import date

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from jobs.lake import JobResult, Lake
from jobs.lake.contracts import contracts
from jobs.lake.store import list_files, open_store
from jobs.runtime.entry import main
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings

RETENTION_HOURS = 7 * 24  # longer than any run: each reads the versions that it began with


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    kept = _list_kept_versions(lake, settings.maintain.releases)
    report_progress, merged, deleted = progress("maintaining tables"), 0, 0
    for done, name in enumerate(contracts(), start=1):
        merged += _merge_small_files(lake, name)
        deleted += _delete_old_files(lake, name, kept.get(name, set()))
        report_progress(done, len(contracts()))
    return JobResult(notes={"files_merged": merged, "files_deleted": deleted})


def _list_kept_versions(lake: Lake, releases: int) -> dict[str, set[int]]:
    """The versions of each table that the newest releases name."""
    kept: dict[str, set[int]] = {}
    for row in lake.arrow("gold.releases").sort_by([("release", "descending")]).slice(0, releases).to_pylist():
        for name, version in row["tables"]:
            kept.setdefault(name, set()).add(version)
    return kept


def _merge_small_files(lake: Lake, name: str) -> int:
    """Returns how many files were merged."""
    table = DeltaTable(lake.path(name))
    merged: int = table.optimize.compact(commit_properties=lake.commit_properties())["numFilesRemoved"]
    if merged:
        lake.record_write(name)
    return merged


def _delete_old_files(lake: Lake, name: str, kept: set[int]) -> int:
    """Returns how many files were deleted."""
    store, folder = open_store(lake.path(name))
    before = {info.path.removeprefix(f"{folder}/") for info in list_files(store, folder)}
    readable = [version for version in kept if _is_readable(lake, name, version)]
    old = DeltaTable(lake.path(name)).vacuum(
        RETENTION_HOURS, dry_run=False, full=True, keep_versions=readable, commit_properties=lake.commit_properties()
    )
    return len(before.intersection(old))  # what an earlier run has deleted is named again


def _is_readable(lake: Lake, name: str, version: int) -> bool:
    """Whether the log still knows the version. Delta forgets it after 30 days in which the table changed."""
    try:
        DeltaTable(lake.path(name), version=version)
    except DeltaError:
        return False
    return True


if __name__ == "__main__":
    main(run)
