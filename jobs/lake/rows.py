"""The rows that a job writes: an Arrow table, a stream of Arrow batches, or a frame of Spark; and who makes which."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Full, Queue
from threading import Event
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame

from jobs.lake.contracts import Contract

Rows = pa.Table | Iterator[pa.RecordBatch] | DataFrame


def _read_number(name: str, default: int) -> int:
    """The number in an environment variable. A wrong one ends the process with a sentence."""
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise SystemExit(f"{name}={text} is not a number of rows; write it with digits alone, such as {default}")
    return int(text)


SPARK_FROM_ROWS = _read_number("SPARK_FROM_ROWS", 30_000_000)  # with fewer, one process with DuckDB is faster
MANY_ROWS = min(2_000_000, SPARK_FROM_ROWS)  # Spark checks and merges so many: the libraries hold them in memory
BATCHES_WAITING = 4
SECONDS_TO_WAIT = 0.2  # until a thread looks whether the other one has failed


def write_arrow(
    table: DeltaTable, rows: pa.Table | Iterable[pa.RecordBatch], contract: Contract, **options: Any
) -> None:
    """Write rows, which have at least the columns of the contract. A stream need not fit in memory.

    deltalake writes in another thread. This one makes the rows: it handles Ctrl-C, and may itself call deltalake.

    options  of `write_deltalake`
    """
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
    waiting: Queue[pa.RecordBatch | None] = Queue(BATCHES_WAITING)
    has_failed = Event()

    def receive() -> Iterator[pa.RecordBatch]:
        while not has_failed.is_set():
            try:
                batch = waiting.get(timeout=SECONDS_TO_WAIT)
            except Empty:
                continue
            if batch is None:
                return
            yield batch
        raise InterruptedError("the rows have ended in an error")  # nothing is committed

    reader = pa.RecordBatchReader.from_batches(contract.arrow, receive())
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: write_deltalake(table, reader, **options))

        def send(batch: pa.RecordBatch | None) -> None:
            while not writing.done():  # a writer that has failed receives no more
                try:
                    return waiting.put(batch, timeout=SECONDS_TO_WAIT)
                except Full:
                    continue

        try:
            for batch in batches:
                send(batch.select(contract.names).cast(contract.arrow))
                if writing.done():
                    break
            send(None)
            writing.result()
        except BaseException:
            has_failed.set()
            raise
