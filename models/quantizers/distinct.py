"""The distinct rows of many vectors, and how often each came.

Codebooks are fitted on distinct rows in an order that does not depend on the order of the items, so that the same items
always give the same codebook. There are two orders: by the rows' bytes in memory, and by their hashes where rows are
streamed into a file. A fit draws rows by their place, so another order would change the codebooks that it makes.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Vectors = NDArray[np.float32]
_FILES = 64  # one for each value of the hash's first bits; open at once, and a shell may allow only 256
_HASH = 16  # bytes: so many that different rows never share a hash


class DistinctRows(NamedTuple):
    """What `find_distinct_rows` finds in x [items, dim]."""

    rows: Tensor  # [distinct, dim] float32, on the CPU
    counts: Tensor  # [distinct] int64: how often each came
    owner: Tensor  # [items] int64: which distinct row each row of x is


def find_distinct_rows(x: Tensor) -> DistinctRows:
    """Find the distinct rows of x [items, dim] in memory, in the order of their bytes; -0 counts as 0."""
    rows = np.ascontiguousarray(x.detach().cpu().float().numpy() + 0.0)  # + 0.0 turns -0 into 0
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, owner, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return DistinctRows(torch.from_numpy(rows[first]), torch.from_numpy(counts), torch.from_numpy(owner))


def drop_repeats(x: Tensor) -> Tensor:
    """Each distinct row of x [items, dim] once, where it first came."""
    _, first = np.unique(find_distinct_rows(x).owner.numpy(), return_index=True)
    return x[torch.from_numpy(np.sort(first)).to(x.device)]


def write_distinct_rows(batches: Iterable[Vectors], folder: Path) -> tuple[Tensor, Tensor]:
    """Write the distinct rows of a stream to a file in a folder, in the order of their hashes.

    The first bits of a row's hash choose one of 64 files, and each file is then sorted by hash. So memory holds at most
    one batch, and of the distinct rows of all batches the share of one file (1/64).

    batches  each [rows, dim]; -0 counts as 0
    returns  rows [distinct, dim] float32, mapped from the file, and how often each came [distinct] int64
    raises   ValueError if no row came, a row holds NaN or infinity, or two batches differ in dim
    """
    dim, bad, total = _distribute(batches, folder)
    if bad:
        raise ValueError(f"{bad} of {total} vectors hold NaN or infinity")
    if not total:
        raise ValueError("there is no vector")
    counts = []
    with (folder / "points").open("wb") as out:
        for file in range(_FILES):
            records = np.fromfile(folder / str(file), _record_type(dim))
            (folder / str(file)).unlink()
            merged = _merge_equal(records)
            out.write(merged["row"].tobytes())  # not tofile, which hides a write that failed on a full disk
            counts.append(merged["count"])
    weights = torch.from_numpy(np.concatenate(counts))
    size = len(weights) * dim
    return torch.from_file(str(folder / "points"), shared=True, size=size).view(-1, dim), weights


def _distribute(batches: Iterable[Vectors], folder: Path) -> tuple[int, int, int]:
    """Write every row with its hash to the file that its hash chooses.

    returns  dim, how many rows are not finite, how many rows there are
    """
    dim = bad = total = 0
    with ExitStack() as stack:
        files = [stack.enter_context((folder / str(file)).open("wb")) for file in range(_FILES)]
        for batch in batches:
            if total and batch.shape[1] != dim:
                raise ValueError(f"a batch holds vectors of {batch.shape[1]} dimensions, those before of {dim}")
            dim, total = batch.shape[1], total + len(batch)
            bad += int((~np.isfinite(batch).all(1)).sum())
            records = _make_records(batch)  # sorted by hash, so that the rows of each file lie side by side
            ends = np.searchsorted(records["hash"][:, 0] >> np.uint64(58), np.arange(_FILES), side="right")
            for file, start, end in zip(files, np.r_[0, ends[:-1]], ends, strict=True):
                if end > start:
                    file.write(records[start:end].tobytes())
    return dim, bad, total


def _record_type(dim: int) -> np.dtype[np.void]:
    return np.dtype([("hash", np.uint64, 2), ("count", np.int64), ("row", np.float32, dim)])


def _make_records(batch: Vectors) -> NDArray[np.void]:
    """The distinct rows of a batch with their hashes and counts, in the order of their hashes."""
    records = np.empty(len(batch), _record_type(batch.shape[1]))
    records["row"] = batch + np.float32(0)  # turns -0 into 0
    hashes = b"".join(blake2b(row.tobytes(), digest_size=_HASH).digest() for row in records["row"])
    records["hash"] = np.frombuffer(hashes, np.uint64).reshape(-1, 2)
    records["count"] = 1
    return _merge_equal(records)


def _merge_equal(records: NDArray[np.void]) -> NDArray[np.void]:
    """Each distinct record once, in the order of the hashes, with the counts of its copies added up."""
    order = np.lexsort((records["hash"][:, 1], records["hash"][:, 0]))
    hashes = records["hash"][order]
    first = np.flatnonzero(np.r_[True, (hashes[1:] != hashes[:-1]).any(1)][: len(order)])
    merged = records[order[first]]
    merged["count"] = np.add.reduceat(records["count"][order], first) if len(first) else 0
    return merged
