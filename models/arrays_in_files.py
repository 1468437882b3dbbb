"""Arrays in temporary files, for more rows than fit in memory."""

import math
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray


def file_backed_zeros(shape: int | tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Make an array of zeros [shape] in a temporary file, for arrays that may not fit in memory.

    The file has no name, so it disappears with the array, also after a crash.

    raises  OSError if the disk has no room for it
    """
    if not (size := math.prod(np.atleast_1d(shape).tolist()) * kind.itemsize):
        return np.zeros(shape, kind)
    with TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, size)  # without it, a full disk would kill the process by a signal later
        return np.asarray(np.memmap(file, kind, "r+", shape=shape))


def join_in_files(parts: Iterable[Sequence[NDArray[Any]]], kinds: Sequence[np.dtype[Any]]) -> list[NDArray[Any]]:
    """Join parts, each with a column [rows of the part] of every kind: one array [rows] of every kind.

    The arrays are in files without names, as those of `file_backed_zeros`. Unlike there, the rows need not be counted
    before.

    raises  OSError if the disk has no room for them
    """
    rows = 0
    with ExitStack() as at_end:
        files = [at_end.enter_context(TemporaryFile()) for _ in kinds]
        for part in parts:
            rows += len(part[0])
            for file, column, kind in zip(files, part, kinds, strict=True):
                file.write(np.ascontiguousarray(column, kind).data)
        if not rows:
            return [np.zeros(0, kind) for kind in kinds]
        for file in files:
            file.flush()
        return [np.asarray(np.memmap(file, kind, "r+", shape=rows)) for file, kind in zip(files, kinds, strict=True)]
