"""The distinct rows of a stream of vectors, and how often each came, whatever order they came in.

Rows are parted by a hash of their bytes into files, each of which is then sorted by hash. So at most one batch and
one file's share of the distinct rows of all batches (1/64) is in memory.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Vectors = NDArray[np.float32]
_PARTS = 64  # one for each value of the hash's first bits; files open at once, of which a shell may allow 256
_HASH = 16  # bytes, so that different rows never share one


def distinct(batches: Iterable[Vectors], folder: Path) -> tuple[Tensor, Tensor]:
    """Write the distinct rows into a file in a folder.

    batches  each [rows, dim]; -0 counts as 0
    returns  rows [items, dim] float32, mapped from the file, in the order of their hashes, and how often each
             came [items] int64
    raises   ValueError if no row came, one holds NaN or infinity, or two batches differ in dim
    """
    dim, bad, came = _part(batches, folder)
    if bad:
        raise ValueError(f"{bad} of {came} vectors hold NaN or infinity")
    if not came:
        raise ValueError("there is no vector")
    counts = []
    with (folder / "points").open("wb") as out:
        for part in range(_PARTS):
            records = np.fromfile(folder / str(part), _record(dim))
            (folder / str(part)).unlink()
            found = _merged(records)
            out.write(found["row"].tobytes())  # not tofile, which forgets a write that a full disk refused
            counts.append(found["count"])
    weights = torch.from_numpy(np.concatenate(counts))
    size = len(weights) * dim
    return torch.from_file(str(folder / "points"), shared=True, size=size).view(-1, dim), weights


def _part(batches: Iterable[Vectors], folder: Path) -> tuple[int, int, int]:
    """Write every row with its hash into the file that its hash names. returns dim, rows that are not finite, all"""
    dim = bad = came = 0
    with ExitStack() as stack:
        files = [stack.enter_context((folder / str(part)).open("wb")) for part in range(_PARTS)]
        for batch in batches:
            if came and batch.shape[1] != dim:
                raise ValueError(f"a batch holds vectors of {batch.shape[1]} dimensions, those before of {dim}")
            dim, came = batch.shape[1], came + len(batch)
            bad += int((~np.isfinite(batch).all(1)).sum())
            records = _records(batch)
            ends = np.searchsorted(records["hash"][:, 0] >> np.uint64(58), np.arange(_PARTS), side="right")
            for file, start, end in zip(files, np.r_[0, ends[:-1]], ends, strict=True):
                if end > start:
                    file.write(records[start:end].tobytes())
    return dim, bad, came


def _record(dim: int) -> np.dtype[np.void]:
    return np.dtype([("hash", np.uint64, 2), ("count", np.int64), ("row", np.float32, dim)])


def _records(batch: Vectors) -> NDArray[np.void]:
    records = np.empty(len(batch), _record(batch.shape[1]))
    records["row"] = batch + np.float32(0)  # one kind of zero
    hashes = b"".join(blake2b(row.tobytes(), digest_size=_HASH).digest() for row in records["row"])
    records["hash"] = np.frombuffer(hashes, np.uint64).reshape(-1, 2)
    records["count"] = 1
    return _merged(records)


def _merged(records: NDArray[np.void]) -> NDArray[np.void]:
    """The different ones in the order of their hashes, counts added up."""
    order = np.lexsort((records["hash"][:, 1], records["hash"][:, 0]))
    hashes = records["hash"][order]
    first = np.flatnonzero(np.r_[True, (hashes[1:] != hashes[:-1]).any(1)][: len(order)])
    found = records[order[first]]
    found["count"] = np.add.reduceat(records["count"][order], first) if len(first) else 0
    return found
