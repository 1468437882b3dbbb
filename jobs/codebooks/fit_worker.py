"""Fit a codebook in several processes, each on its share of the vectors: one for each GPU.

    python -m torch.distributed.run --standalone --nproc-per-node 8 -m jobs.codebooks.fit_worker <folder>

`quantize` writes the folder and starts this.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import torch
from torch import Tensor

from jobs.runtime.progress import progress
from jobs.runtime.workers import join_workers, run_workers
from models import quantizers
from models.quantizers import Codebook

_NAMES = ("level", "part", "code", "vector")


def fit_in_ranks(count: int, kind: str, x: Tensor, start: Codebook | None, **told: Any) -> Codebook:
    """`quantizers.fit` in ranks; `told` is what it is told beside these, and goes through JSON."""
    with TemporaryDirectory(prefix="sidereal-fit-") as name:
        folder = Path(name)
        (folder / "told.json").write_text(json.dumps({"kind": kind, **told}))
        np.save(folder / "x.npy", x.numpy())
        if start:
            _write(start, folder / "start.arrow")
        run_workers("jobs.codebooks.fit_worker", folder, count)
        return _read(folder / "fitted.arrow")


def fit_rank(folder: Path, first: bool) -> None:
    """One rank's part; the first one saves."""
    told = json.loads((folder / "told.json").read_text())
    if (old := folder / "start.arrow").exists():
        told["start"] = _read(old)
    x = torch.from_numpy(np.load(folder / "x.npy", mmap_mode="c"))
    tell = progress("fitting the codebook") if first else None
    fitted = quantizers.fit(x=x, progress=tell, **told)
    if first:
        _write(fitted, folder / "fitted.arrow")


def _write(book: Codebook, file: Path) -> None:
    columns = zip(*book.to_rows(), strict=True)
    feather.write_feather(pa.table(dict(zip(_NAMES, map(list, columns), strict=True))), file)


def _read(file: Path) -> Codebook:
    rows = feather.read_table(file, memory_map=False)
    return quantizers.from_rows(list(zip(*(rows[name].to_pylist() for name in _NAMES), strict=True)))


if __name__ == "__main__":
    with join_workers("jobs.codebooks.fit_worker") as is_first:
        fit_rank(Path(sys.argv[1]), is_first)
