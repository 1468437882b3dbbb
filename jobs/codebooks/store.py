"""The codebooks in the lake: which one a day goes by, reading one, fitting one."""

import sys
from datetime import date
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch
from torch import Tensor

from jobs.codebooks.fit_worker import fit_in_ranks
from jobs.codebooks.settings import Quantizer
from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.runtime.progress import progress
from jobs.runtime.workers import count_workers
from jobs.settings.tree import Settings
from models import quantizers
from models.quantizers import Codebook, ResKmeansFSQ
from models.quantizers.matching import matched
from models.quantizers.res_kmeans import ResKmeans

BOOKS = "gold.codebooks"


class Book(NamedTuple):
    """A codebook version, the day of its fit, and the encoder whose vectors it cuts."""

    day: date
    version: str
    encoder: str


def live_codebook(lake: Lake, settings: Settings, encoder: str, day: date) -> Book | None:
    """The codebook of an encoder and of the kind and sizes in the settings that a day goes by.

    The newest up to the day, so that a backfill finds what it found then; the oldest where all are later; None if
    there is none.
    """
    rows = lake.arrow(BOOKS, ["codebook_version", "day"], ds.field("encoder_version") == encoder)
    rows = rows.filter(pc.ends_with(rows["codebook_version"], name_of(settings.quantizer)))
    pairs = set(zip(rows["day"].to_pylist(), rows["codebook_version"].to_pylist(), strict=True))
    books = [Book(*pair, encoder) for pair in pairs]
    past = [book for book in books if book.day <= day]
    return max(past) if past else min(books, default=None)


def load_codebook(lake: Lake, version: str, dim: int) -> Codebook:
    """raises  UserError if it is damaged, or cuts vectors of another length than dim"""
    rows = lake.arrow(BOOKS, ["level", "part", "code", "vector"], ds.field("codebook_version") == version)
    try:
        book = quantizers.from_rows(list(zip(*(rows[c].to_pylist() for c in rows.column_names), strict=True)))
        width = book.decode(torch.zeros(1, len(book.sizes), dtype=torch.int64)).shape[1]
        book.encode(torch.zeros(1, width))  # parts of different widths
    except (ValueError, RuntimeError, TypeError, IndexError, OverflowError) as error:
        told = f"the codebook {version} in gold.codebooks is damaged ({str(error).splitlines()[0]})"
        raise UserError(f"{told}; restore that table to an earlier version") from None
    if width != dim:
        told = f"the codebook {version} cuts vectors of {width} numbers, the encoder's now have {dim}"
        raise UserError(f"{told}: it changed under its name; start a new lake, or name the encoder as it was")
    return book


def fit(
    lake: Lake,
    settings: Settings,
    encoder: str,
    x: Tensor,
    day: date,
    *,
    start: Codebook | None = None,
) -> Book:
    """Fit a codebook on all vectors x [items, dim], which may lie in a file, and write it.

    start   go on from this one, and keep its numbers as far as the items agree; RQ-VAE and parallel k-means start anew
    raises  UserError if the day has a codebook of that name, or IDs of one
    """
    q = settings.quantizer
    version = f"{day}-{encoder}{name_of(q)}"
    for table in (BOOKS, "gold.semantic_ids"):
        if lake.arrow(table, ["day"], ds.field("codebook_version") == version).num_rows:
            raise UserError(f"{table} holds {version} already, which a fit would change; restore gold.codebooks")
    own: dict[str, Any] = {
        "rq_vae": {"steps": q.rq_vae_steps},
        ResKmeansFSQ.kind: {"fsq_steps": q.fsq_steps, "fsq_values": q.fsq_values},
    }
    told = {"sizes": q.sizes, "seed": q.seed, "kmeans_iterations": q.kmeans_iterations} | own.get(q.kind, {})
    if len(x) < 2 * max(q.sizes):
        few = f"{len(x)} items are few for {max(q.sizes)} codes a level: IDs will group little and collide more"
        print(f"{few}; choose smaller [quantizer] sizes.", file=sys.stderr, flush=True)
    if start and not isinstance(start, ResKmeansFSQ | ResKmeans):
        print(
            f"A codebook of kind {q.kind} cannot go on from an older one: all IDs change.", file=sys.stderr, flush=True
        )
        start = None
    try:
        if (count := count_workers(q.ranks)) > 1:
            fitted = fit_in_ranks(count, q.kind, x, start, **told)
        else:
            told |= {"start": start} if start else {}
            fitted = quantizers.fit(q.kind, x, progress=progress("fitting the codebook"), **told)
    except ValueError as error:
        raise UserError(f"no codebook of kind {q.kind} can be fitted on the vectors of {encoder}: {error}") from None
    if isinstance(start, ResKmeansFSQ) and isinstance(fitted, ResKmeansFSQ):
        fitted = matched(start, fitted, x)
    if isinstance(start, ResKmeans) and isinstance(fitted, ResKmeans):
        fitted = matched(start, fitted, x)
    level, part, code, vector = zip(*fitted.to_rows(), strict=True)
    count = len(level)
    columns = [[version] * count, [encoder] * count, level, part, code, vector, [day] * count]
    table = pa.table(dict(zip(contracts()[BOOKS].names, columns, strict=True)), contracts()[BOOKS].arrow)
    lake.replace(BOOKS, table, codebook_version=version, day=day)
    return Book(day, version, encoder)


def name_of(q: Quantizer) -> str:
    """How a version ends; no kind's ending ends with that of another."""
    kind = "" if q.kind == ResKmeansFSQ.kind else f"-{q.kind}"
    if q.kind == ResKmeansFSQ.kind and q.fsq_values:
        kind = "-fsq" + "x".join(map(str, q.fsq_values))
    return "-" + "x".join(map(str, q.sizes)) + kind
