"""Save what a slow job finds while it finds it: killed at any moment, it loses a few seconds of work."""

import threading
from datetime import date
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from deltalake import DeltaTable

from jobs.lake import Lake
from jobs.lake.contracts import contracts

SAVE_EVERY = 2.0  # seconds; a commit takes some hundredths


class RowSaver:
    """Appends rows to a table as they come, one commit every few seconds and one at the end, also after an error.

    A thread saves, as a language model may take minutes from one batch of rows to the next.

    partition  where the rows belong; if it took several commits, their files are made one at the end
    """

    def __init__(self, lake: Lake, table: str, **partition: str | date) -> None:
        self.lake, self.table, self.partition = lake, table, partition
        self.rows: list[dict[str, Any]] = []
        self.commits = 0
        self.lock, self.over = threading.Lock(), threading.Event()
        self.failure: Exception | None = None
        self.saver = threading.Thread(target=self._save_on, daemon=True)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """raises  what the saving thread failed with; its rows are still here, and tried again at the end"""
        if self.failure:
            raise self.failure
        with self.lock:
            self.rows += rows

    def save(self) -> None:
        with self.lock:
            if self.rows:
                filled = [row | self.partition for row in self.rows]
                self.lake.append(self.table, pa.Table.from_pylist(filled, contracts()[self.table].arrow))
                self.commits += 1
                self.rows = []

    def _save_on(self) -> None:
        try:
            while not self.over.wait(SAVE_EVERY):
                self.save()
        except Exception as error:  # whatever it is, the next to add a row is told
            self.failure = error

    def __enter__(self) -> Self:
        self.saver.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.saver.join()
        self.save()
        if kind is None and self.commits > 1:
            files = [(name, "=", str(value)) for name, value in self.partition.items()]
            DeltaTable(self.lake.path(self.table)).optimize.compact(partition_filters=files)
            self.lake.outputs[self.table] = self.lake.version(self.table)
