"""Give every new item its semantic ID; fit a codebook where there is none for the encoder.

    python -m jobs.quantize --day 2026-11-20

Reads gold.item_embeddings and gold.releases. Writes gold.codebooks (only when it fits one) and gold.semantic_ids,
partition (codebook_version, day). An ID that is there already never moves. After a switch of the encoder, items get
IDs of the live model's codebook, too.
"""

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch
from numpy.typing import NDArray

from jobs.aligned import live_encoder
from jobs.catalogue import current_vectors
from jobs.lake import Lake, Written
from jobs.lake.contracts import contracts
from jobs.lake.entry import main
from jobs.metrics import metric_rows, write_metrics
from jobs.model_store import live
from jobs.progress import progress
from jobs.sections import Quantizer
from jobs.settings import Settings
from models.quantizers import Codebook, fit, from_rows, health, sid_text

IDS = "gold.semantic_ids"
BOOKS = "gold.codebooks"


def run(lake: Lake, settings: Settings, day: date) -> Written:
    encoder = live_encoder(lake, settings, day).version
    items, vectors = current_vectors(lake, encoder)
    if not items:
        write_metrics(lake, "quantize", day, [])
        return Written(notes={"skipped": f"no item is embedded with {encoder}"})
    version = live_codebook(lake, settings, encoder)
    if version is None:
        version = _fit(lake, settings, encoder, vectors, day)
    codebook = load_codebook(lake, version)
    new = _give(lake, codebook, items, vectors, version, day)
    champion = live(lake, before=str(day))  # after a switch it is served with the codebook that it was trained with
    if champion and (old := champion["codebook_version"]) != version:
        embedded = current_vectors(lake, champion["encoder_version"])
        if embedded[0]:
            _give(lake, load_codebook(lake, old), *embedded, old, day)
    _measure(lake, codebook, items, vectors, version, day)
    return Written(len(items), new, 0, len(items) - new, {"codebook_version": version})


def _give(
    lake: Lake, codebook: Codebook, items: list[str], vectors: NDArray[np.float32], version: str, day: date
) -> int:
    """Give the items that have no ID in a codebook version one. returns how many these are"""
    have = ds.field("codebook_version") == version
    known = lake.arrow(IDS, ["item_id"], have)["item_id"]
    new = ~pc.is_in(pa.array(items), known).to_numpy(zero_copy_only=False)
    if new.any():
        codes = codebook.encode(torch.from_numpy(vectors[new])).numpy()
        kept = lake.arrow(IDS, where=have & (ds.field("day") == day))  # a rerun adds to this day's own
        fresh = _rows(np.array(items, dtype=object)[new], codes, version, day)
        rows = pa.concat_tables([kept.cast(contracts()[IDS].arrow), fresh])
        lake.replace(IDS, rows, codebook_version=version, day=day)
    return int(new.sum())


def live_codebook(lake: Lake, settings: Settings, encoder: str) -> str | None:
    """The newest codebook of an encoder and of the kind and sizes in the settings, None if there is none."""
    rows = lake.arrow(BOOKS, ["codebook_version", "day"], ds.field("encoder_version") == encoder)
    rows = rows.filter(pc.ends_with(rows["codebook_version"], _name(settings.quantizer)))
    newest = rows.sort_by([("day", "descending"), ("codebook_version", "descending")]).slice(0, 1)
    return newest["codebook_version"][0].as_py() if newest.num_rows else None


def _name(q: Quantizer) -> str:
    """How a version ends; no kind's ending ends with that of another."""
    kind = "" if q.kind == Quantizer().kind else f"-{q.kind}"
    return "-" + "x".join(map(str, q.sizes)) + kind


def load_codebook(lake: Lake, version: str) -> Codebook:
    rows = lake.arrow(BOOKS, ["level", "part", "code", "vector"], ds.field("codebook_version") == version)
    return from_rows(list(zip(*(rows[c].to_pylist() for c in rows.column_names), strict=True)))


def _fit(lake: Lake, settings: Settings, encoder: str, vectors: NDArray[np.float32], day: date) -> str:
    q = settings.quantizer
    steps = {"res_kmeans_fsq": {"fsq_steps": q.fsq_steps}, "rq_vae": {"steps": q.rq_vae_steps}}
    fitted = fit(
        q.kind,
        torch.from_numpy(vectors),
        sizes=q.sizes,
        seed=q.seed,
        kmeans_iterations=q.kmeans_iterations,
        progress=progress("fitting the codebook"),
        **steps.get(q.kind, {}),
    )
    version = f"{day}-{encoder}{_name(q)}"
    level, part, code, vector = zip(*fitted.to_rows(), strict=True)
    count = len(level)
    columns = [[version] * count, [encoder] * count, level, part, code, vector, [day] * count]
    table = pa.table(dict(zip(contracts()[BOOKS].names, columns, strict=True)), contracts()[BOOKS].arrow)
    lake.replace(BOOKS, table, codebook_version=version, day=day)
    return version


def _rows(items: NDArray[Any], codes: NDArray[np.int64], version: str, day: date) -> pa.Table:
    count = len(items)
    columns = [items, [version] * count, *codes.T, sid_text(torch.from_numpy(codes)), [day] * count]
    return pa.table(dict(zip(contracts()[IDS].names, columns, strict=True)), contracts()[IDS].arrow)


def _measure(
    lake: Lake,
    codebook: Codebook,
    items: list[str],
    vectors: NDArray[np.float32],
    version: str,
    day: date,
) -> None:
    """Health of the IDs as published, which may be older than an item's present vector."""
    rows = lake.arrow(IDS, ["item_id", "c1", "c2", "c3", "day"], ds.field("codebook_version") == version)
    at = pc.index_in(pa.array(items), rows["item_id"]).to_numpy()
    codes = torch.from_numpy(np.stack([rows[c].to_numpy()[at] for c in ("c1", "c2", "c3")], axis=1).astype(np.int64))
    x = torch.from_numpy(vectors)
    rebuilt = codebook.decode(codes)
    found = metric_rows(
        "codebook", "all", health(x, codes, rebuilt, codebook.sizes, seed=0), rows=len(items), version=version
    )
    fresh = rows["day"].to_numpy()[at] == np.datetime64(day)
    if fresh.any() and not fresh.all():
        error = float(((x - rebuilt)[torch.from_numpy(fresh)] ** 2).mean())
        _, bucket, sizes = np.unique(codes.numpy(), axis=0, return_inverse=True, return_counts=True)
        shared = float((sizes[bucket][fresh] > 1).mean())
        values = {"collision_rate": shared, "rebuild_error": error}
        found += metric_rows("codebook", "new_items", values, rows=int(fresh.sum()), version=version)
    write_metrics(lake, "quantize", day, found)


if __name__ == "__main__":
    main(run)
