"""Write, audit, publish: rows that only this run sees until they were checked.

    with Staging(lake) as staging:
        staging.replace("silver.item_pairs", rows, day=day)
        checks = check(lake, "silver.item_pairs", silver_item_pairs, [day])

Inside the block this run reads each staged table as it will be; everybody else reads it as it was. If the block ends
without an error, each table is published in one commit, in the order in which they were staged. If it ends with an
error, or if the process is killed, the tables are as they were, and nothing must be restored.
"""

import fcntl
import os
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow.fs as pafs

from jobs.lake.lake import Lake
from jobs.lake.rows import Rows
from jobs.lake.staged_table import Parts, StagedTable
from jobs.lake.store import is_remote, list_files, open_store

ABANDONED_AFTER = timedelta(days=2)  # in an object store, where no lock says whether a run still lives


class Staging:
    """Stages writes of a run below `<lake>/staging/`, and publishes them at the end of its `with` block."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.store, self.root = open_store(lake.root)
        self.name = f"{lake.run_id}-{uuid.uuid4().hex[:8]}"
        self.resources = ExitStack()

    def replace(
        self, name: str, rows: Rows, *, is_sorted: bool = False, computed_at: int | None = None, **partition: Parts
    ) -> None:
        """Stage rows that replace a partition, or the whole table if no partition is given.

        If `partition` names only partition columns of the table, publishing moves files and copies no row.

        is_sorted    whether files must keep the order of the rows
        computed_at  version of this table that the rows were computed from: if another run has changed the rows to
                     replace since, publishing fails
        partition    columns and the value of each, or several days (`day=[...]`)
        """
        table = StagedTable(name, self._path(name), partition, is_sorted=is_sorted, computed_at=computed_at)
        self._stage(table, rows)

    def append(self, name: str, rows: Rows) -> None:
        """Stage rows that join the table."""
        self._stage(StagedTable(name, self._path(name), {}, is_append=True), rows)

    def merge(self, name: str, rows: Rows, key: str) -> None:
        """Stage rows that replace the rows with the same key or, if there are none, join the table.

        key  a column without nulls, with each value once in `rows`
        """
        self._stage(StagedTable(name, self._path(name), {}, key), rows)

    def _path(self, name: str) -> str:
        return f"{self.lake.root}/staging/{self.name}/{name}"

    def _stage(self, table: StagedTable, rows: Rows) -> None:
        if table.name in self.lake.staged:
            raise RuntimeError(f"{table.name} is staged already")
        table.write(rows)
        self.lake.staged[table.name] = table

    def __enter__(self) -> Self:
        if is_remote(self.lake.root):
            self._remove_old_folders()
        else:
            self._lock_folder()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tables = list(self.lake.staged.values())
        self.lake.staged.clear()  # from now on this run reads what everybody reads
        folder = f"{self.root}/staging/{self.name}"
        try:
            for table in tables if kind is None else ():
                live_folder = f"{self.root}/{table.name.replace('.', '/')}"
                table.publish(self.lake, self.store, f"{folder}/{table.name}", live_folder)
                self.lake.record_write(table.name)
        finally:
            if self.store.get_file_info(folder).type == pafs.FileType.Directory:
                self.store.delete_dir(folder)
            self.resources.close()

    def _lock_folder(self) -> None:
        """Make the folder and lock it. Remove folders that nobody locks: their run was killed."""
        parent = Path(self.root, "staging")
        parent.mkdir(parents=True, exist_ok=True)
        with open(parent / "lock", "w") as guard:  # no other run may see a folder that is not locked yet
            fcntl.flock(guard, fcntl.LOCK_EX)
            for folder in parent.iterdir():
                if folder.is_dir() and _is_abandoned(folder):
                    self.store.delete_dir(str(folder))
            (parent / self.name).mkdir()
            lock = os.open(parent / self.name / "lock", os.O_CREAT | os.O_RDWR)
            self.resources.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)

    def _remove_old_folders(self) -> None:
        parent = f"{self.root}/staging/"
        newest: dict[str, datetime] = {}
        for info in list_files(self.store, parent):
            name = info.path.removeprefix(parent).split("/")[0]
            newest[name] = max(newest.get(name, info.mtime), info.mtime)
        for name, mtime in newest.items():
            if datetime.now(UTC) - mtime.astimezone(UTC) > ABANDONED_AFTER:
                self.store.delete_dir(parent + name)


def _is_abandoned(folder: Path) -> bool:
    try:
        with open(folder / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True
