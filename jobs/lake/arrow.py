"""Arrow and NumPy arrays that are built from a stream, so that they need not fit in memory twice."""

import math
import os
from collections.abc import Callable, Iterable, Set
from tempfile import TemporaryFile
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Part = TypeVar("Part", pa.Array, pa.Table)


def rows_with_keys(batch: pa.RecordBatch, key: list[str], wanted: Set[tuple[str, ...]]) -> pa.RecordBatch:
    """The rows whose key is wanted, at a cost that does not grow with what is wanted: a join would, in each batch."""
    found = zip(*(batch[name].to_pylist() for name in key), strict=True)
    return batch.filter(pa.array([one in wanted for one in found], pa.bool_()))


def merge_stream(parts: Iterable[Part], merge: Callable[[list[Part]], Part]) -> Part:
    """All parts merged, in the memory of what comes of it.

    Those that wait are merged when they outgrow what came of the parts before, so that time is linear in the parts.
    """
    whole = merge([])
    waiting: list[Part] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) > len(whole):
            whole = merge([whole, *waiting])
            waiting.clear()
    return merge([whole, *waiting])


def distinct_strings(parts: Iterable[pa.Array]) -> pa.Array:
    """The different strings of all parts, sorted."""
    found = merge_stream(map(pc.unique, parts), lambda some: pc.unique(pa.chunked_array(some, pa.string())))
    return found.take(pc.sort_indices(found))


def file_backed_zeros(shape: int | tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Zeros in a nameless file, which goes when the array does. raises OSError if there is no room for it"""
    if not (size := math.prod(np.atleast_1d(shape).tolist()) * kind.itemsize):
        return np.zeros(shape, kind)
    with TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, size)  # else a full disk ends the process with a signal
        return np.asarray(np.memmap(file, kind, "r+", shape=shape))
