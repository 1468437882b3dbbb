"""The rows that a job writes: an Arrow table, a stream of Arrow batches, or a frame of Spark."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Full, Queue
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame

from jobs.lake.contracts import Contract

# DuckDB is faster for fewer rows on one machine, and keeps on disk what does not fit in its memory.
SPARK_FROM_ROWS = int(os.environ.get("SPARK_FROM_ROWS", 30_000_000))
MANY_ROWS = min(2_000_000, SPARK_FROM_ROWS)  # so many are not held in memory
BATCHES_WAITING = 4
Rows = pa.Table | Iterator[pa.RecordBatch] | DataFrame


def write_arrow(
    table: DeltaTable, rows: pa.Table | Iterable[pa.RecordBatch], contract: Contract, **options: Any
) -> None:
    """Write rows, which have at least the columns of the contract. A stream need not fit in memory.

    deltalake writes in another thread. This one makes the rows: it handles Ctrl-C, and may itself call deltalake.

    options  of `write_deltalake`
    """
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
    waiting: Queue[pa.RecordBatch | BaseException | None] = Queue(BATCHES_WAITING)

    def receive() -> Iterator[pa.RecordBatch]:
        while (part := waiting.get()) is not None:
            if isinstance(part, BaseException):
                raise part  # nothing is committed
            yield part

    reader = pa.RecordBatchReader.from_batches(contract.arrow, receive())
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: write_deltalake(table, reader, **options))

        def send(part: pa.RecordBatch | BaseException | None) -> None:
            while not writing.done():  # one that failed receives no more
                try:
                    return waiting.put(part, timeout=0.1)
                except Full:
                    continue

        try:
            for batch in batches:
                send(batch.select(contract.names).cast(contract.arrow))
                if writing.done():
                    break
        except BaseException as error:
            send(error)
            raise
        send(None)
        writing.result()
