"""Give every new item its semantic ID; fit a codebook where there is none for the encoder.

    python -m jobs.quantize --day 2026-11-20

Reads gold.item_embeddings and gold.releases. Writes gold.codebooks (only when it fits one) and gold.semantic_ids,
partition (codebook_version, day). An ID that is there already never moves within a codebook version. A codebook is
fitted anew when it is old or new items no longer fit it (`jobs.refit`): from the old one, in the old one's numbers.
Until a release switches, items get IDs of the live model's codebook, too.
"""

import sys
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch
from numpy.typing import NDArray

from jobs.aligned import live_encoder
from jobs.catalogue import current_vectors, semantic_ids
from jobs.codebooks import Book, fit, live_codebook, load_codebook
from jobs.lake import Lake, Written
from jobs.lake.contracts import contracts
from jobs.lake.entry import main
from jobs.metrics import metric_rows, write_metrics
from jobs.model_store import live
from jobs.refit import reason_to_refit
from jobs.settings import Settings
from models.quantizers import Codebook, health, sid_text
from models.quantizers.matching import moved
from models.quantizers.unique import next_tokens

IDS = "gold.semantic_ids"
CODES = ["c1", "c2", "c3"]


def run(lake: Lake, settings: Settings, day: date) -> Written:
    encoder = live_encoder(lake, settings, day).version
    items, vectors = current_vectors(lake, encoder)
    if not items:
        write_metrics(lake, "quantize", day, [])
        return Written(notes={"skipped": f"no item is embedded with {encoder}"})
    notes = {}
    book = live_codebook(lake, settings, encoder, day) or fit(lake, settings, encoder, vectors, day)
    codebook = load_codebook(lake, book.version)
    new = _give(lake, codebook, items, vectors, book.version, day)
    if why := _reason(lake, settings, codebook, items, vectors, book, day):
        print(f"The codebook {book.version} is fitted anew: {why}.", file=sys.stderr, flush=True)
        notes = {"refit": why}
        book = fit(lake, settings, encoder, vectors, day, start=codebook)
        codebook = load_codebook(lake, book.version)
        new = _give(lake, codebook, items, vectors, book.version, day)
    champion = live(lake, before=str(day))  # after a switch it is served with the codebook that it was trained with
    if champion and (old := champion["codebook_version"]) != book.version:
        embedded = current_vectors(lake, champion["encoder_version"])
        if embedded[0]:
            _give(lake, load_codebook(lake, old), *embedded, old, day)
    _measure(lake, settings, codebook, items, vectors, book, day)
    return Written(len(items), new, 0, len(items) - new, notes | {"codebook_version": book.version})


def _give(
    lake: Lake, codebook: Codebook, items: list[str], vectors: NDArray[np.float32], version: str, day: date
) -> int:
    """Give the items that have no ID in a codebook version one. returns how many these are"""
    have = ds.field("codebook_version") == version
    known = lake.arrow(IDS, ["item_id", *CODES, "twin"], have)
    new = ~pc.is_in(pa.array(items), known["item_id"]).to_numpy(zero_copy_only=False)
    if new.any():
        codes = codebook.encode(torch.from_numpy(vectors[new])).numpy()
        twins = next_tokens(codes, _matrix(known), known["twin"].to_numpy().astype(np.int64))
        kept = lake.arrow(IDS, where=have & (ds.field("day") == day))  # a rerun adds to this day's own
        fresh = _rows(np.array(items, dtype=object)[new], codes, twins, version, day)
        rows = pa.concat_tables([kept.cast(contracts()[IDS].arrow), fresh])
        lake.replace(IDS, rows, codebook_version=version, day=day)
    return int(new.sum())


def _rows(items: NDArray[Any], codes: NDArray[np.int64], twins: NDArray[np.int64], version: str, day: date) -> pa.Table:
    count, sids = len(items), sid_text(torch.from_numpy(codes))
    unique = [f"{sid}<d_{twin}>" for sid, twin in zip(sids, twins.tolist(), strict=True)]
    columns = [items, [version] * count, *codes.T, sids, twins, unique, [day] * count]
    return pa.table(dict(zip(contracts()[IDS].names, columns, strict=True)), contracts()[IDS].arrow)


def _matrix(rows: pa.Table) -> NDArray[np.int64]:
    """Codes [rows, 3]."""
    return np.stack([rows[code].to_numpy() for code in CODES], axis=1).astype(np.int64)


def _reason(
    lake: Lake, settings: Settings, codebook: Codebook, items: list[str], vectors: NDArray[np.float32],
    book: Book, day: date,
) -> str:  # fmt: skip
    """Why the codebook is to be fitted anew on this day; empty if it is not."""
    codes, since = _published(lake, items, book.version, after=book.day)
    x = torch.from_numpy(vectors)
    error = (x - codebook.decode(codes)).square().mean(dim=1).double().numpy()
    return reason_to_refit(settings.quantizer, (day - book.day).days, since, error, _shared(codes))


def _published(lake: Lake, items: list[str], version: str, *, after: date) -> tuple[torch.Tensor, NDArray[np.bool_]]:
    """Codes [items, 3] as published in a codebook version, and which items [items] got them after a day."""
    rows = lake.arrow(IDS, ["item_id", *CODES, "day"], ds.field("codebook_version") == version)
    at = pc.index_in(pa.array(items), rows["item_id"]).to_numpy()
    return torch.from_numpy(_matrix(rows)[at]), rows["day"].to_numpy()[at] > np.datetime64(after)


def _shared(codes: torch.Tensor) -> NDArray[np.bool_]:
    """[items] whether another item has the same codes."""
    _, bucket, sizes = np.unique(codes.numpy(), axis=0, return_inverse=True, return_counts=True)
    return np.asarray(sizes[bucket] > 1)


def _measure(
    lake: Lake, settings: Settings, codebook: Codebook, items: list[str], vectors: NDArray[np.float32],
    book: Book, day: date,
) -> None:  # fmt: skip
    """Health of the IDs as published, which may be older than an item's present vector; what a refit moved."""
    codes, fresh = _published(lake, items, book.version, after=day - timedelta(1))
    x = torch.from_numpy(vectors)
    rebuilt = codebook.decode(codes)
    found = metric_rows(
        "codebook", "all", health(x, codes, rebuilt, codebook.sizes, seed=0), rows=len(items), version=book.version
    )
    if fresh.any() and not fresh.all():
        error = float(((x - rebuilt)[torch.from_numpy(fresh)] ** 2).mean())
        values = {"collision_rate": float(_shared(codes)[fresh].mean()), "rebuild_error": error}
        found += metric_rows("codebook", "new_items", values, rows=int(fresh.sum()), version=book.version)
    if book.day == day and (old := live_codebook(lake, settings, book.encoder, day - timedelta(1))):
        found += _moved(lake, old, book, day)
    write_metrics(lake, "quantize", day, found)


def _moved(lake: Lake, old: Book, new: Book, day: date) -> list[dict[str, Any]]:
    """Of the items that both codebooks gave an ID: which share moved."""
    if old.day >= new.day:
        return []
    before, after = (semantic_ids(lake, book.version) for book in (old, new))
    both, left, right = np.intersect1d(before[0], after[0], assume_unique=True, return_indices=True)
    if not len(both):
        return []
    return metric_rows(
        "codebook", "refit", moved(before[1][left], after[1][right]), rows=len(both), version=new.version
    )


if __name__ == "__main__":
    main(run)
