"""The codebooks in the lake: which one a day goes by, reading one, fitting one."""

from datetime import date
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch
from numpy.typing import NDArray

from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.progress import progress
from jobs.settings import Settings
from models.quantizers.matching import matched
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ

BOOKS = "gold.codebooks"


class Book(NamedTuple):
    """A codebook version, the day of its fit, and the encoder whose vectors it cuts."""

    day: date
    version: str
    encoder: str


def live_codebook(lake: Lake, settings: Settings, encoder: str, day: date) -> Book | None:
    """The codebook of an encoder and of the sizes in the settings that a day goes by.

    The newest up to the day, so that a backfill finds what it found then; the oldest where all are later; None if
    there is none.
    """
    rows = lake.arrow(BOOKS, ["codebook_version", "day"], ds.field("encoder_version") == encoder)
    rows = rows.filter(pc.ends_with(rows["codebook_version"], _sizes(settings)))
    pairs = set(zip(rows["day"].to_pylist(), rows["codebook_version"].to_pylist(), strict=True))
    books = [Book(*pair, encoder) for pair in pairs]
    past = [book for book in books if book.day <= day]
    return max(past) if past else min(books, default=None)


def load_codebook(lake: Lake, version: str) -> ResKmeansFSQ:
    rows = lake.arrow(BOOKS, ["level", "part", "code", "vector"], ds.field("codebook_version") == version)
    return ResKmeansFSQ.from_rows(list(zip(*(rows[c].to_pylist() for c in rows.column_names), strict=True)))


def fit(
    lake: Lake,
    settings: Settings,
    encoder: str,
    vectors: NDArray[np.float32],
    day: date,
    *,
    start: ResKmeansFSQ | None = None,
) -> Book:
    """Fit a codebook on all vectors and write it.

    start  go on from this one, and keep its numbers as far as the items agree
    """
    q, x = settings.quantizer, torch.from_numpy(vectors)
    fitted = ResKmeansFSQ.fit(
        x,
        sizes=q.sizes,
        seed=q.seed,
        kmeans_iterations=q.kmeans_iterations,
        fsq_steps=q.fsq_steps,
        start=start,
        progress=progress("fitting the codebook"),
    )
    if start is not None:
        fitted = matched(start, fitted, x)
    version = f"{day}-{encoder}{_sizes(settings)}"
    level, part, code, vector = zip(*fitted.to_rows(), strict=True)
    count = len(level)
    columns = [[version] * count, [encoder] * count, level, part, code, vector, [day] * count]
    table = pa.table(dict(zip(contracts()[BOOKS].names, columns, strict=True)), contracts()[BOOKS].arrow)
    lake.replace(BOOKS, table, codebook_version=version, day=day)
    return Book(day, version, encoder)


def _sizes(settings: Settings) -> str:
    return "-" + "x".join(map(str, settings.quantizer.sizes))
