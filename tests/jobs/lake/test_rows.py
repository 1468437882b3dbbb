"""Rows that are written as a stream: an error of the stream, or of who writes it, leaves the table as it was."""

from collections.abc import Iterator
from datetime import date
from itertools import count, repeat

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError

from jobs.lake import Lake
from jobs.lake.contracts import contracts

DAY = date(2026, 11, 20)
TABLE = "silver.item_pairs"


def make_batch(item_a: str = "a") -> pa.RecordBatch:
    row = {"item_a": item_a, "item_b": "b", "source": "swing", "score": 1.0, "day": DAY}
    return pa.RecordBatch.from_pylist([row], contracts()[TABLE].arrow)


def test_a_stream_that_breaks_writes_nothing_and_its_own_error_is_raised(lake: Lake) -> None:
    def break_off() -> Iterator[pa.RecordBatch]:
        yield make_batch()
        lake.delta(TABLE)  # a stream may itself read the lake
        raise KeyboardInterrupt

    before = lake.version(TABLE)
    with pytest.raises(KeyboardInterrupt):
        lake.replace(TABLE, break_off(), day=DAY)
    assert lake.version(TABLE) == before


def test_a_writer_that_fails_ends_a_stream_without_end(lake: Lake) -> None:
    made = count()
    endless = (batch for batch in repeat(make_batch(item_a="z")) if next(made) >= 0)
    with pytest.raises(DeltaError, match="validation check"):
        lake.replace(TABLE, endless, day=DAY)
    assert next(made) < 1_000_000


def test_a_stream_without_batches_empties_the_day(lake: Lake) -> None:
    lake.replace(TABLE, iter([make_batch()]), day=DAY)
    assert lake.arrow(TABLE).num_rows == 1
    lake.replace(TABLE, iter([]), day=DAY)
    assert lake.arrow(TABLE).num_rows == 0
