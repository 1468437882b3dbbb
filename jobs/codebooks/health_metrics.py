"""Write to gold.metrics how good the published semantic IDs are, and which share of them a refit moved."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from jobs.codebooks.catalogue import Catalogue
from jobs.codebooks.ids import PublishedIDs, load_semantic_ids
from jobs.codebooks.settings import Quantizer
from jobs.codebooks.store import FittedCodebook, find_live_codebook
from jobs.lake import Lake
from jobs.lake.metrics import metric_rows, replace_metrics
from models.quantizers import Codebook, measure_health
from models.quantizers.matching import measure_moves


def write_health_metrics(
    lake: Lake,
    settings: Quantizer,
    codebook: Codebook,
    fitted: FittedCodebook,
    catalogue: Catalogue,
    ids: PublishedIDs,
    day: date,
) -> None:
    """Measure the IDs of all items and of the day's new ones; on the day of a refit also what it moved.

    catalogue  the items that the IDs are of
    """
    values = measure_health(catalogue.vectors, ids.codes, ids.errors, codebook.sizes, seed=0)
    if catalogue.has_behaviour is not None:
        values["without_behaviour"] = float(1 - catalogue.has_behaviour.mean())
    metrics = metric_rows("codebook", "all", values, rows=len(ids.codes), version=fitted.version)
    is_new = ids.days == np.datetime64(day)
    if is_new.any() and not is_new.all():
        values = {
            "collision_rate": float(ids.is_shared[is_new].mean()),
            "rebuild_error": float(ids.errors.numpy()[is_new].mean()),
        }
        metrics += metric_rows("codebook", "new_items", values, rows=int(is_new.sum()), version=fitted.version)
    if fitted.day == day and (old := find_live_codebook(lake, settings, fitted.encoder, day - timedelta(1))):
        metrics += _measure_refit(lake, old, fitted)
    replace_metrics(lake, "quantize", day, metrics)


def _measure_refit(lake: Lake, old: FittedCodebook, new: FittedCodebook) -> list[dict[str, Any]]:
    """The share of the items with an ID before the refit whose ID changed. No rows if `new` was no refit of `old`."""
    if old.day >= new.day:
        return []
    old_items, old_codes = load_semantic_ids(lake, old.version, ds.field("day") < new.day)
    new_items, new_codes = load_semantic_ids(lake, new.version, ds.field("day") == new.day)
    both, in_old, in_new = np.intersect1d(old_items, new_items, assume_unique=True, return_indices=True)
    if not len(both):
        return []
    values = measure_moves(old_codes[in_old], new_codes[in_new])
    return metric_rows("codebook", "refit", values, rows=len(both), version=new.version)
