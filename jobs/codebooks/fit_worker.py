"""Fit a codebook in several processes (workers), each on its share of the vectors: one worker for each GPU.

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

_COLUMNS = ("level", "part", "code", "vector")


def fit_in_workers(count: int, kind: str, vectors: Tensor, start: Codebook | None, **options: Any) -> Codebook:
    """`quantizers.fit` in several workers.

    count    how many workers
    options  further keywords of `quantizers.fit`; they travel as JSON
    """
    with TemporaryDirectory(prefix="sidereal-fit-") as name:
        folder = Path(name)
        (folder / "options.json").write_text(json.dumps({"kind": kind, **options}))
        np.save(folder / "vectors.npy", vectors.numpy())
        if start:
            _write(start, folder / "start.arrow")
        run_workers("jobs.codebooks.fit_worker", folder, count)
        return _read(folder / "fitted.arrow")


def run_worker(folder: Path, is_first: bool) -> None:
    """Do one worker's part of the fit. The first worker saves the codebook."""
    options = json.loads((folder / "options.json").read_text())
    if (file := folder / "start.arrow").exists():
        options["start"] = _read(file)
    vectors = torch.from_numpy(np.load(folder / "vectors.npy", mmap_mode="c"))
    report_progress = progress("fitting the codebook") if is_first else None
    fitted = quantizers.fit(x=vectors, progress=report_progress, **options)
    if is_first:
        _write(fitted, folder / "fitted.arrow")


def _write(codebook: Codebook, file: Path) -> None:
    columns = zip(*codebook.to_rows(), strict=True)
    feather.write_feather(pa.table(dict(zip(_COLUMNS, map(list, columns), strict=True))), file)


def _read(file: Path) -> Codebook:
    rows = feather.read_table(file, memory_map=False)
    return quantizers.from_rows(list(zip(*(rows[name].to_pylist() for name in _COLUMNS), strict=True)))


if __name__ == "__main__":
    with join_workers("jobs.codebooks.fit_worker") as is_first_worker:
        run_worker(Path(sys.argv[1]), is_first_worker)
