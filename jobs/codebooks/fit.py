"""Fit a codebook on the item vectors, from scratch or from an older codebook."""

import sys
from datetime import date
from typing import Any

import pyarrow.dataset as ds
from torch import Tensor

from jobs.codebooks.catalogue import Catalogue
from jobs.codebooks.fit_worker import fit_in_workers
from jobs.codebooks.ids import IDS
from jobs.codebooks.settings import Quantizer
from jobs.codebooks.store import CODEBOOKS, FittedCodebook, version_suffix, write_codebook
from jobs.lake import Lake, UserError
from jobs.runtime.progress import progress
from jobs.runtime.workers import count_workers
from models import quantizers
from models.quantizers import Codebook, ResKmeansFSQ
from models.quantizers.matching import match_codebook
from models.quantizers.res_kmeans import ResKmeans


def fit_codebook(
    lake: Lake, settings: Quantizer, catalogue: Catalogue, day: date, *, start: Codebook | None = None
) -> FittedCodebook:
    """Fit a codebook on all vectors of the catalogue and write it.

    start   the older codebook of a refit: the fit starts from it and keeps its codes as far as items stay together.
            RQ-VAE and parallel k-means cannot do that; they start from scratch
    raises  UserError if this version has a codebook or IDs already, or the vectors suit no codebook
    """
    fitted = FittedCodebook(day, f"{day}-{catalogue.encoder}{version_suffix(settings)}", catalogue.encoder)
    for table in (CODEBOOKS, IDS):
        if lake.arrow(table, ["day"], ds.field("codebook_version") == fitted.version).num_rows:
            raise UserError(
                f"{table} holds {fitted.version} already, and a fit would change it; restore gold.codebooks"
            )
    if len(catalogue.vectors) < 2 * max(settings.sizes):
        print(
            f"{len(catalogue.vectors)} items are few for {max(settings.sizes)} codes per level: their IDs will show"
            " little of which items are alike, and more of them will collide; choose smaller [quantizer] sizes.",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    if start and not isinstance(start, ResKmeansFSQ | ResKmeans):
        print(
            f"A codebook of kind {settings.kind} cannot start from an older one: all IDs change.",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        start = None
    try:
        codebook = _fit(settings, catalogue.vectors, start)
    except ValueError as error:
        raise UserError(
            f"no codebook of kind {settings.kind} can be fitted on the vectors of {catalogue.encoder}: {error}"
        ) from None
    write_codebook(lake, _keep_codes(start, codebook, catalogue.vectors), fitted)
    return fitted


def _fit(settings: Quantizer, vectors: Tensor, start: Codebook | None) -> Codebook:
    """Fit in this process or, if the settings or the GPUs ask for more, in several."""
    options: dict[str, Any] = {
        "sizes": settings.sizes,
        "seed": settings.seed,
        "kmeans_iterations": settings.kmeans_iterations,
    }
    if settings.kind == "rq_vae":
        options |= {"steps": settings.rq_vae_steps}
    if settings.kind == ResKmeansFSQ.kind:
        options |= {"fsq_steps": settings.fsq_steps, "fsq_values": settings.fsq_values}
    if (count := count_workers(settings.workers)) > 1:
        return fit_in_workers(count, settings.kind, vectors, start, **options)
    if start:
        options |= {"start": start}
    return quantizers.fit(settings.kind, vectors, progress=progress("fitting the codebook"), **options)


def _keep_codes(old: Codebook | None, new: Codebook, vectors: Tensor) -> Codebook:
    """Number the codes of a refit such that as many items as possible keep theirs."""
    if isinstance(old, ResKmeansFSQ) and isinstance(new, ResKmeansFSQ):
        return match_codebook(old, new, vectors)
    if isinstance(old, ResKmeans) and isinstance(new, ResKmeans):
        return match_codebook(old, new, vectors)
    return new
