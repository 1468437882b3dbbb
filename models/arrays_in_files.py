"""Arrays in temporary files, for more rows than fit in memory."""

import math
import os
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
