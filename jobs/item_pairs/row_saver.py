"""Save the rows of a slow job while it works, so that a kill loses only a few seconds of work."""

import threading
from datetime import date
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from deltalake import DeltaTable

from jobs.lake import Lake
from jobs.lake.contracts import contracts

SAVE_EVERY = 2.0  # seconds; a commit takes a few hundredths of a second


class RowSaver:
    """Appends rows to a table: one commit every few seconds, and one at the end, also after an error.

    Use it as a context manager. A thread saves the rows, because a language model may take minutes from one batch to
    the next.

    partition  partition columns and their values, which all rows get; if there were several commits, their files are
               merged into one at the end
    """

    def __init__(self, lake: Lake, table: str, **partition: str | date) -> None:
        self.lake, self.table, self.partition = lake, table, partition
        self.rows: list[dict[str, Any]] = []
        self.commits = 0
        self.lock, self.is_over = threading.Lock(), threading.Event()
        self.failure: Exception | None = None
        self.saver = threading.Thread(target=self._save_until_over, daemon=True)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Add rows, without the partition columns.

        raises  the error that the saving thread failed with; the rows are still here, and are saved at the end
        """
        if self.failure:
            raise self.failure
        with self.lock:
            self.rows += rows

    def save(self) -> None:
        """Write all waiting rows in one commit."""
        with self.lock:
            if self.rows:
                complete = [row | self.partition for row in self.rows]
                self.lake.append(self.table, pa.Table.from_pylist(complete, contracts()[self.table].arrow))
                self.commits += 1
                self.rows = []

    def _save_until_over(self) -> None:
        try:
            while not self.is_over.wait(SAVE_EVERY):
                self.save()
        except Exception as error:  # `add` raises it in the caller's thread
            self.failure = error

    def __enter__(self) -> Self:
        self.saver.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_over.set()
        self.saver.join()
        self.save()
        if kind is None and self.commits > 1:
            filters = [(name, "=", str(value)) for name, value in self.partition.items()]
            optimizer = DeltaTable(self.lake.path(self.table)).optimize
            optimizer.compact(partition_filters=filters, commit_properties=self.lake.commit_properties())
            self.lake.record_write(self.table)
