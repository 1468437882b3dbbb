"""Give every new item its semantic ID; fit a codebook where there is none for the encoder.

    python -m jobs.quantize --day 2026-11-20

Reads gold.item_embeddings and gold.releases. Writes gold.codebooks (only when it fits one) and gold.semantic_ids,
partition (codebook_version, day). An ID that is there already never moves within a codebook version. A codebook is
fitted anew when it is old or new items no longer fit it (`jobs.codebooks.refit`): from the old one, in the old one's
numbers.
Until a release switches, items get IDs of the live model's codebook, too.
"""

import sys
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.codebooks.refit import reason_to_refit
from jobs.codebooks.store import Book, fit, live_codebook, load_codebook
from jobs.encoders.tuned_encoders import live_encoder
from jobs.encoders.vectors import dated_vectors, semantic_ids
from jobs.lake import JobResult, Lake, UserError
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.release.gate import superseded_by_later_release
from jobs.release.releases import live_release
from jobs.runtime.entry import main
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings
from models.quantizers import Codebook, health, rebuild_errors, sid_text
from models.quantizers.codebook import LARGEST, usable
from models.quantizers.matching import moved
from models.quantizers.unique import next_tokens

IDS = "gold.semantic_ids"
CODES = ["c1", "c2", "c3"]
ROWS = 1 << 16  # given IDs at once


class _Catalogue(NamedTuple):
    """Items with a vector, as a codebook version has them."""

    items: list[str]
    x: Tensor  # [items, dim], which may lie in a file
    days: NDArray[np.datetime64]  # [items] that the vectors are of
    encoder: str


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    encoder = live_encoder(lake, settings, day).version
    items = _catalogue(lake, encoder, day)
    if not items.items:
        if not superseded_by_later_release(lake, day):
            replace_metrics(lake, "quantize", day, [])
        return JobResult(notes={"skipped": f"no item is embedded with {encoder}"})
    notes = {}
    book = live_codebook(lake, settings, encoder, day) or fit(lake, settings, encoder, items.x, day)
    codebook = load_codebook(lake, book.version, items.x.shape[1])
    new = _give(lake, settings, codebook, items, book.version, day)
    ids = _published(lake, codebook, items, book.version)
    if why := _reason(settings, ids, book, day):
        print(f"The codebook {book.version} is fitted anew: {why}.", file=sys.stderr, flush=True)
        notes = {"refit": why}
        book = fit(lake, settings, encoder, items.x, day, start=codebook)
        codebook = load_codebook(lake, book.version, items.x.shape[1])
        new = _give(lake, settings, codebook, items, book.version, day)
        ids = _published(lake, codebook, items, book.version)
    champion = live_release(lake, before=str(day))  # after a switch it keeps the codebook that it was trained with
    if champion and (old := champion["codebook_version"]) != book.version:
        embedded = (
            items if champion["encoder_version"] == encoder else _catalogue(lake, champion["encoder_version"], day)
        )
        if embedded.items:
            _give(lake, settings, load_codebook(lake, old, embedded.x.shape[1]), embedded, old, day)
    if not superseded_by_later_release(lake, day):  # what was measured of an older day is of its own items
        _measure(lake, settings, codebook, items.x, ids, book, day)
    count = len(items.items)
    return JobResult(count, new, 0, count - new, notes | {"codebook_version": book.version})


def _catalogue(lake: Lake, encoder: str, day: date) -> _Catalogue:
    """As of a day: what is embedded later gets its IDs then, also where the day is run again."""
    items, vectors, days = dated_vectors(lake, encoder, day)
    for first in range(0, len(items), ROWS):
        if len(bad := np.flatnonzero(~usable(torch.from_numpy(vectors[first : first + ROWS])).numpy())):
            told = f"the vector of item {items[first + bad[0]]} by {encoder} holds NaN, infinity or a number above"
            raise UserError(f"{told} {LARGEST:g}: embed it again (FORCE=1)")
    return _Catalogue(items, torch.from_numpy(vectors), days, encoder)


def _give(lake: Lake, settings: Settings, codebook: Codebook, catalogue: _Catalogue, version: str, day: date) -> int:
    """Give the items that have no ID in a codebook version one. returns how many these are"""
    have = ds.field("codebook_version") == version
    known = lake.arrow(IDS, ["item_id", *CODES, "twin"], have)
    new = np.flatnonzero(~pc.is_in(pa.array(catalogue.items), known["item_id"]).to_numpy(zero_copy_only=False))
    if len(new) and settings.quantizer.spark_parts:
        from jobs.codebooks.on_executors import give_on_executors

        parts = settings.quantizer.spark_parts
        give_on_executors(lake, codebook.to_rows(), catalogue.encoder, version, day, parts)
    elif len(new):
        tell = progress("giving IDs")
        codes = np.empty((len(new), len(CODES)), np.int64)
        for first in range(0, len(new), ROWS):
            codes[first : first + ROWS] = codebook.encode(catalogue.x[new[first : first + ROWS]]).numpy()
            tell(min(first + ROWS, len(new)), len(new))
        twins = next_tokens(codes, _matrix(known), known["twin"].to_numpy().astype(np.int64))
        kept = lake.arrow(IDS, where=have & (ds.field("day") == day))  # a rerun adds to this day's own
        fresh = _rows(np.array(catalogue.items, dtype=object)[new], codes, twins, version, day)
        rows = pa.concat_tables([kept.cast(contracts()[IDS].arrow), fresh])
        lake.replace(IDS, rows, codebook_version=version, day=day)
    return len(new)


def _rows(items: NDArray[Any], codes: NDArray[np.int64], twins: NDArray[np.int64], version: str, day: date) -> pa.Table:
    count, sids = len(items), sid_text(torch.from_numpy(codes))
    unique = [f"{sid}<d_{twin}>" for sid, twin in zip(sids, twins.tolist(), strict=True)]
    columns = [items, [version] * count, *codes.T, sids, twins, unique, [day] * count]
    return pa.table(dict(zip(contracts()[IDS].names, columns, strict=True)), contracts()[IDS].arrow)


def _matrix(rows: pa.Table) -> NDArray[np.int64]:
    """Codes [rows, 3]."""
    return np.stack([rows[code].to_numpy() for code in CODES], axis=1).astype(np.int64)


class _Published(NamedTuple):
    """What a codebook version gave the items, which may be older than an item's present vector."""

    codes: Tensor  # [items, 3]
    days: NDArray[np.datetime64]  # [items] on which they got them
    same: NDArray[np.bool_]  # [items] whether the vector is still the one that they were got with
    errors: Tensor  # [items] of rebuilding the present vectors
    shared: NDArray[np.bool_]  # [items] whether another item has the same codes
    newest: date  # on which the version gave any item an ID


def _published(lake: Lake, codebook: Codebook, catalogue: _Catalogue, version: str) -> _Published:
    rows = lake.arrow(IDS, ["item_id", *CODES, "day"], ds.field("codebook_version") == version)
    at = pc.index_in(pa.array(catalogue.items), rows["item_id"]).to_numpy()
    codes = torch.from_numpy(_matrix(rows)[at])
    _, bucket, sizes = np.unique(codes.numpy(), axis=0, return_inverse=True, return_counts=True)
    try:
        errors = rebuild_errors(catalogue.x, codes, codebook.decode)
    except ValueError as error:
        raise UserError(
            f"gold.semantic_ids of {version} is damaged ({error}); restore it to an earlier version"
        ) from None
    days = rows["day"].to_numpy()[at]
    shared = np.asarray(sizes[bucket] > 1)
    return _Published(codes, days, catalogue.days <= days, errors, shared, pc.max(rows["day"]).as_py())


def _reason(settings: Settings, ids: _Published, book: Book, day: date) -> str:
    """Why the codebook is to be fitted anew on this day; empty if it is not, as for a day that is run again."""
    if book.day >= day or ids.newest > day:
        return ""
    counted = ids.same if ids.same.any() else np.ones(len(ids.same), bool)
    since = (ids.days > np.datetime64(book.day))[counted]
    age, error = (day - book.day).days, ids.errors.numpy()[counted]
    return reason_to_refit(settings.quantizer, age, since, error, ids.shared[counted])


def _measure(
    lake: Lake, settings: Settings, codebook: Codebook, x: Tensor, ids: _Published, book: Book, day: date
) -> None:
    """Health of the IDs as published; what a refit moved."""
    values = health(x, ids.codes, ids.errors, codebook.sizes, seed=0)
    found = metric_rows("codebook", "all", values, rows=len(x), version=book.version)
    fresh = ids.days == np.datetime64(day)
    if fresh.any() and not fresh.all():
        values = {
            "collision_rate": float(ids.shared[fresh].mean()), "rebuild_error": float(ids.errors.numpy()[fresh].mean())
        }  # fmt: skip
        found += metric_rows("codebook", "new_items", values, rows=int(fresh.sum()), version=book.version)
    if book.day == day and (old := live_codebook(lake, settings, book.encoder, day - timedelta(1))):
        found += _moved(lake, old, book)
    replace_metrics(lake, "quantize", day, found)


def _moved(lake: Lake, old: Book, new: Book) -> list[dict[str, Any]]:
    """Of the items that had an ID before the refit: which share moved."""
    if old.day >= new.day:
        return []
    before = semantic_ids(lake, old.version, ds.field("day") < new.day)
    after = semantic_ids(lake, new.version, ds.field("day") == new.day)
    both, left, right = np.intersect1d(before[0], after[0], assume_unique=True, return_indices=True)
    if not len(both):
        return []
    return metric_rows(
        "codebook", "refit", moved(before[1][left], after[1][right]), rows=len(both), version=new.version
    )


if __name__ == "__main__":
    main(run)
