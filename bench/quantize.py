"""How good semantic IDs of every kind of codebook are, on the same items.

    make bench B=quantize ARGS="--data <landing folder> [--seeds 0 1 2] [--kinds res_kmeans_fsq ...] [--json FILE]"

All items of the folder are embedded once with the default encoder (kept in memory only), and every kind is fitted with
its defaults at 3 x 256 and at 2 x 1024 + 4096 codes. `preserved_neighbours`: share of an item's true top 10 by cosine
that have its c1 and c2; `overlap`: share of the codes that an item of the true top 10 has in common with it, level by
level, of the first 2,000 items; `near_digits`: of a last level of digits, those in which an item differs from the
nearest item of its c1 and c2, over those in which it differs from any of these. `rebuild_error`: mean square per
element, times 1,000. `collision_unseen`, `rebuild_error_unseen`: the same of a random fifth of the items, after a fit
on the others. `seconds`: of the fit on all items. No set gets settings of its own; asserts nothing.

Beside the kinds of `models.quantizers`: `plain_fsq`, which is res_kmeans_fsq without its separation terms and with the
decoder of its auto-encoder; `plain_fsq_tables`, which rebuilds from tables over all levels as res_kmeans_fsq does;
`pca_fsq`, with such tables and with bits that are signs of principal components; `rq_vae_letter`, which is rq_vae with
both of LETTER's losses and the paper's weights, its collaborative vectors the 32 first singular vectors of who had to
do with what in the whole log.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from common import machine
from items import item_rows, item_text
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd
from swing import Log
from torch import Tensor
from torch.nn.functional import normalize

from jobs.codebooks.settings import Quantizer
from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Encoder
from jobs.runtime.progress import progress
from models.candidates import neighbours
from models.encoder import embedder
from models.encoder.sentence_embedder import SentenceEmbedder
from models.quantizers import KINDS, Codebook, ResKmeansFSQ, fit, health, rebuild_errors
from models.quantizers.codebook import distinct
from models.quantizers.decoding import decode_tables
from models.quantizers.fsq import FSQ
from models.quantizers.fsq_training import fit_fsq

SIZES = ((256, 256, 256), (1024, 1024, 4096))
NEAREST, SAMPLE = 25, 2000
Row = dict[str, Any]


class Items(NamedTuple):
    x: Tensor  # [items, dim] vectors of the texts
    collaborative: Tensor  # [items, 32]

    def only(self, rows: Tensor) -> "Items":
        return Items(self.x[rows], self.collaborative[rows])


Way = Callable[[Items, Sequence[int], int], Codebook]


def plain_fsq(items: Items, sizes: Sequence[int], seed: int, tables: bool = False) -> Codebook:
    """No two items share the levels before, as far as the last level is told: there is nothing to separate.

    tables  rebuild from tables fitted over all levels, as res_kmeans_fsq does, not from centroids and the decoder
    """
    book = ResKmeansFSQ.fit(items.x, sizes=sizes, seed=seed, fsq_steps=0)
    points = distinct(items.x)[0].double()
    codes, weights = book.encode(points), distinct(items.x)[1]
    residual = points - sum(level[codes[:, at]] for at, level in enumerate(book.centroids))
    fsq = fit_fsq(
        residual.float(),
        torch.arange(len(points)),
        values=book.fsq.values.tolist(),
        steps=Quantizer().fsq_steps,
        seed=seed + 2,
        tick=lambda _: None,
    )
    fsq = fsq.double().requires_grad_(False).eval()
    own = (*book.centroids, fsq.decode(torch.arange(sizes[-1])))
    last = fsq.encode(residual)
    codes, left = torch.cat([codes[:, :2], last[:, None]], dim=1), (residual - fsq.decode(last)).float()
    one, two, three = decode_tables(left, weights, codes, own) if tables else own
    return replace(book, fsq=fsq, tables=(one, two, three))


class _Signs(FSQ):
    """A bit for each of the first principal components: on which side of the mean."""

    components: Tensor

    def logits(self, residual: Tensor) -> Tensor:
        return residual.to(self.components.dtype) @ self.components

    @classmethod
    def fit(cls, residual: Tensor, digits: int) -> "_Signs":
        signs = cls(residual.shape[1], [2] * digits).double().requires_grad_(False).eval()
        _, axes = torch.linalg.eigh(residual.T @ residual)  # ascending
        signs.register_buffer("components", axes[:, -digits:].flip(1))
        return signs


def pca_fsq(items: Items, sizes: Sequence[int], seed: int) -> Codebook:
    """The last level as signs of principal components, nothing trained; tables over all levels."""
    book = ResKmeansFSQ.fit(items.x, sizes=sizes, seed=seed, fsq_steps=0)
    points, weights, _ = distinct(items.x)
    codes = book.encode(points)
    residual = points.double() - sum(level[codes[:, at]] for at, level in enumerate(book.centroids))
    signs = _Signs.fit(residual, book.fsq.digits)
    codes = torch.cat([codes[:, :2], signs.encode(residual)[:, None]], dim=1)
    own = (*book.centroids, torch.zeros(sizes[-1], residual.shape[1], dtype=torch.float64))
    one, two, three = decode_tables(residual.float(), weights, codes, own)
    return replace(book, fsq=signs, tables=(one, two, three))


def letter(items: Items, sizes: Sequence[int], seed: int) -> Codebook:
    return fit("rq_vae", items.x, sizes=sizes, seed=seed, collaborative=items.collaborative, diversity_weight=1e-4)


def of_kind(kind: str) -> Way:
    return lambda items, sizes, seed: fit(kind, items.x, sizes=sizes, seed=seed)


def nearest_items(items: Items, sizes: Sequence[int], seed: int) -> Codebook:
    return fit("nearest_items", items.x, sizes=(max(sizes),) * NEAREST, seed=seed)


WAYS: dict[str, Way] = {
    **{kind: of_kind(kind) for kind in KINDS},
    "nearest_items": nearest_items,
    "pca_fsq": pca_fsq,
    "plain_fsq": plain_fsq,
    "plain_fsq_tables": partial(plain_fsq, tables=True),
    "rq_vae_letter": letter,
}


def load(folder: Path) -> Items:
    rows, encoder = item_rows(folder), Encoder()
    if not rows:
        sys.exit(f"quantize: {folder} holds no items*.jsonl.gz")
    sentence = SentenceEmbedder(encoder_location(encoder), max_tokens=encoder.max_tokens)
    vectors = embedder.embed(
        sentence,
        list(map(item_text, rows.values())),
        tokens_per_batch=encoder.tokens_per_batch,
        progress=progress("embedding", every=30),
    )
    return Items(torch.from_numpy(vectors), collaborative(folder, list(rows)))


def collaborative(folder: Path, items: list[str]) -> Tensor:
    """[items, 32]; 0 for items of no event."""
    place = {item: at for at, item in enumerate(items)}
    pairs = Log.read(folder).db.sql("SELECT DISTINCT user_id, item_id FROM log ORDER BY ALL").fetchall()
    users: dict[str, int] = {}
    known = [(users.setdefault(user, len(users)), place[item]) for user, item in pairs if item in place]
    of_user, of_item = np.array(known).T
    had = csr_matrix((np.ones(len(known)), (of_item, of_user)), (len(items), len(users)))
    left, values, _ = randomized_svd(had, 32, random_state=0)
    return torch.from_numpy(left * values).float()


def measured(name: str, items: Items, near: Tensor, sizes: Sequence[int], seed: int) -> Row:
    started = perf_counter()
    book = WAYS[name](items, sizes, seed)
    seconds, codes = perf_counter() - started, book.encode(items.x)
    found = health(items.x, codes, rebuild_errors(items.x, codes, book.decode), book.sizes, seed=seed)
    row: Row = {
        "quantizer": name,
        "sizes": f"{len(book.sizes)} of {book.sizes[0]}" if len(book.sizes) > 3 else "x".join(map(str, book.sizes)),
        "seed": seed,
        "collision": found["collision_rate"],
    }
    row["collision_unseen"], row["rebuild_error_unseen"] = unseen(WAYS[name], items, sizes, seed)
    row |= {key: found[key] for key in ("edge_num", "hr_at_1", "hr_at_10")}
    row["largest_bucket"] = int(found["largest_bucket"])
    row["dead_codes"] = int(sum(value for key, value in found.items() if key.startswith("dead_codes")))
    row["preserved_neighbours"] = found["preserved_neighbours_c1c2"]
    row["overlap"] = float((codes[near] == codes[: len(near), None]).double().mean())
    row["near_digits"] = near_digits(items.x, codes, book, seed) if isinstance(book, ResKmeansFSQ) else ""
    row["rebuild_error"] = 1000 * found["rebuild_error"]
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()} | {
        "seconds": round(seconds, 1)
    }


def near_digits(x: Tensor, codes: Tensor, book: ResKmeansFSQ, seed: int) -> float:
    """Digits in which an item differs from the nearest item of its c1 and c2, over those from any item of these."""
    unit, digits = normalize(x, dim=1), book.fsq.parted(codes[:, 2])
    mates = (codes[:SAMPLE, None, :2] == codes[None, :, :2]).all(2)
    mates[torch.arange(len(mates)), torch.arange(len(mates))] = False
    asked = torch.nonzero(mates.any(1)).squeeze(1)
    similar = (unit[asked] @ unit.T).masked_fill(~mates[asked], -torch.inf)
    others = torch.multinomial(mates[asked].float(), 1, generator=torch.Generator().manual_seed(seed)).squeeze(1)
    near, far = ((digits[asked] != digits[other]).double().mean() for other in (similar.argmax(1), others))
    return float(near / far)


def unseen(way: Way, items: Items, sizes: Sequence[int], seed: int) -> tuple[float, float]:
    """Collision and rebuild error of a random fifth, after a fit on the others."""
    order = torch.randperm(len(items.x), generator=torch.Generator().manual_seed(seed))
    known, new = order[: round(0.8 * len(order))], order[round(0.8 * len(order)) :]
    book = way(items.only(known), sizes, seed)
    codes = book.encode(items.x)
    _, owner, counts = torch.unique(codes, dim=0, return_inverse=True, return_counts=True)
    error = rebuild_errors(items.x[new], codes[new], book.decode).mean()
    return float((counts[owner[new]] > 1).double().mean()), 1000 * float(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", choices=sorted(WAYS), nargs="+", default=list(WAYS))
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    items = load(flags.data)
    near = torch.from_numpy(neighbours(items.x, 10))[:SAMPLE]
    rows: list[Row] = []
    for sizes in SIZES:
        for name in flags.kinds:
            for seed in flags.seeds:
                rows.append(measured(name, items, near, sizes, seed))
                print(rows[-1], file=sys.stderr, flush=True)
                if flags.json:
                    flags.json.write_text(json.dumps(rows, indent=1))
    show(rows, f"{flags.data.name}, {len(items.x):,} items; {machine('torch')}")


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="left" if column in ("quantizer", "sizes") else "right")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else value for value in row.values()))
    Console(width=210).print(table)


if __name__ == "__main__":
    main()
