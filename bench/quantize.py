"""Which kind of codebook gives the best semantic IDs for the same items?

    make bench B=quantize ARGS="--data <landing folder> [--seeds 0 1 2] [--kinds res_kmeans_fsq ...] [--json FILE]"

Embeds all items of the folder once with the default encoder. Then it fits every kind of codebook with its defaults, at
3 x 256 and at 2 x 1024 + 4096 codes. *Unseen* items are a random fifth, after a fit on the others.

Besides the kinds of `models.quantizers`, there are

    plain_fsq         res_kmeans_fsq without its separation terms; vectors are rebuilt with the auto-encoder's decoder
    plain_fsq_tables  the same, but rebuilt from tables over all levels, as res_kmeans_fsq does
    pca_fsq           the bits of the last level are signs of principal components; rebuilt from such tables
    rq_vae_letter     rq_vae with both losses of LETTER at the paper's weights. Its collaborative vectors are the first
                      32 singular vectors of which user acted on which item in the whole log.

Columns:

    collision, collision unseen  share of items that have the same ID as another item
    rebuild error (unseen)       mean square error per element of vectors rebuilt from their codes, times 1,000
    edge num                     mean number of items with the ID of an item
    hr at K                      share of items among the first K of all items with their ID, in random order
    largest bucket               number of items with the most common ID
    dead codes                   codes that no item has, over all levels
    preserved neighbours         share of an item's 10 most similar items (by cosine) that have its c1 and c2
    overlap                      share of its codes that such a similar item has too, level by level (first 2,000 items)
    near digits                  if the last level has digits: share of digits in which an item differs from the nearest
                                 item with its c1 and c2, divided by the share for a random item with its c1 and c2
    seconds                      of the fit on all items
"""

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
from common import build_parser, describe_machine
from items import build_item_text, read_items
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd
from swing import EventLog
from torch import Tensor
from torch.nn.functional import normalize

from jobs.codebooks.settings import Quantizer
from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Encoder
from jobs.runtime.progress import progress
from models.encoder import embedder
from models.encoder.sentence_embedder import SentenceEmbedder
from models.neighbours import find_neighbours
from models.quantizers import KINDS, Codebook, ResKmeansFSQ, fit, measure_health, measure_rebuild_errors
from models.quantizers.decoding import fit_decode_tables
from models.quantizers.distinct import find_distinct_rows
from models.quantizers.fsq import FSQ
from models.quantizers.fsq_training import fit_fsq

SIZES = ((256, 256, 256), (1024, 1024, 4096))
NEAREST_CODES = 25  # of nearest_items
SAMPLE_ITEMS = 2000  # the first items, for measures that compare items with each other
Row = dict[str, Any]


class Items(NamedTuple):
    x: Tensor  # [items, dim] vectors of the texts
    collaborative: Tensor  # [items, 32]

    def take(self, rows: Tensor) -> "Items":
        return Items(self.x[rows], self.collaborative[rows])


Way = Callable[[Items, Sequence[int], int], Codebook]


def fit_plain_fsq(items: Items, sizes: Sequence[int], seed: int, tables: bool = False) -> Codebook:
    """Fit res_kmeans_fsq without separation: its last level receives each item as a bucket of its own.

    tables  rebuild from tables fitted over all levels, as res_kmeans_fsq does, not from centroids and the decoder
    """
    book = ResKmeansFSQ.fit(items.x, sizes=sizes, seed=seed, fsq_steps=0)
    points = find_distinct_rows(items.x)[0].double()
    codes, weights = book.encode(points), find_distinct_rows(items.x)[1]
    residual = points - sum(centroids[codes[:, level]] for level, centroids in enumerate(book.centroids))
    fsq = fit_fsq(
        residual.float(),
        torch.arange(len(points)),
        values=book.fsq.values.tolist(),
        steps=Quantizer().fsq_steps,
        seed=seed + 2,
        tick=lambda _: None,
    )
    fsq = fsq.double().requires_grad_(False).eval()
    level_vectors = (*book.centroids, fsq.decode(torch.arange(sizes[-1])))
    last = fsq.encode(residual)
    codes, error = torch.cat([codes[:, :2], last[:, None]], dim=1), (residual - fsq.decode(last)).float()
    c1, c2, c3 = fit_decode_tables(error, weights, codes, level_vectors) if tables else level_vectors
    return replace(book, fsq=fsq, tables=(c1, c2, c3))


class _Signs(FSQ):
    """A bit for each of the first principal components: on which side of the mean an item lies."""

    components: Tensor

    def logits(self, residual: Tensor) -> Tensor:
        return residual.to(self.components.dtype) @ self.components

    @classmethod
    def fit(cls, residual: Tensor, digits: int) -> "_Signs":
        signs = cls(residual.shape[1], [2] * digits).double().requires_grad_(False).eval()
        _, axes = torch.linalg.eigh(residual.T @ residual)  # ascending
        signs.register_buffer("components", axes[:, -digits:].flip(1))
        return signs


def fit_pca_fsq(items: Items, sizes: Sequence[int], seed: int) -> Codebook:
    """Fit the last level as signs of principal components, without training; rebuild from tables over all levels."""
    book = ResKmeansFSQ.fit(items.x, sizes=sizes, seed=seed, fsq_steps=0)
    points, weights, _ = find_distinct_rows(items.x)
    codes = book.encode(points)
    residual = points.double() - sum(centroids[codes[:, level]] for level, centroids in enumerate(book.centroids))
    signs = _Signs.fit(residual, book.fsq.digits)
    codes = torch.cat([codes[:, :2], signs.encode(residual)[:, None]], dim=1)
    level_vectors = (*book.centroids, torch.zeros(sizes[-1], residual.shape[1], dtype=torch.float64))
    c1, c2, c3 = fit_decode_tables(residual.float(), weights, codes, level_vectors)
    return replace(book, fsq=signs, tables=(c1, c2, c3))


def fit_letter(items: Items, sizes: Sequence[int], seed: int) -> Codebook:
    return fit("rq_vae", items.x, sizes=sizes, seed=seed, collaborative=items.collaborative, diversity_weight=1e-4)


def build_way(kind: str) -> Way:
    return lambda items, sizes, seed: fit(kind, items.x, sizes=sizes, seed=seed)


def fit_nearest_items(items: Items, sizes: Sequence[int], seed: int) -> Codebook:
    return fit("nearest_items", items.x, sizes=(max(sizes),) * NEAREST_CODES, seed=seed)


WAYS: dict[str, Way] = {
    **{kind: build_way(kind) for kind in KINDS},
    "nearest_items": fit_nearest_items,
    "pca_fsq": fit_pca_fsq,
    "plain_fsq": fit_plain_fsq,
    "plain_fsq_tables": partial(fit_plain_fsq, tables=True),
    "rq_vae_letter": fit_letter,
}


def load_items(folder: Path) -> Items:
    rows, encoder = read_items(folder), Encoder()
    if not rows:
        sys.exit(f"quantize: {folder} holds no items*.jsonl.gz, neither itself nor in day folders")
    sentence = SentenceEmbedder(encoder_location(encoder), max_tokens=encoder.max_tokens)
    vectors = embedder.embed(
        sentence,
        list(map(build_item_text, rows.values())),
        tokens_per_batch=encoder.tokens_per_batch,
        progress=progress("embedding", every=30),
    )
    return Items(torch.from_numpy(vectors), compute_collaborative_vectors(folder, list(rows)))


def compute_collaborative_vectors(folder: Path, items: list[str]) -> Tensor:
    """[items, 32] float32; 0 for items without events."""
    index = {item: n for n, item in enumerate(items)}
    pairs = EventLog.read(folder).db.sql("SELECT DISTINCT user_id, item_id FROM log ORDER BY ALL").fetchall()
    users: dict[str, int] = {}
    known = [(users.setdefault(user, len(users)), index[item]) for user, item in pairs if item in index]
    user_indices, item_indices = np.array(known).T
    acted = csr_matrix((np.ones(len(known)), (item_indices, user_indices)), (len(items), len(users)))
    left, values, _ = randomized_svd(acted, 32, random_state=0)
    return torch.from_numpy(left * values).float()


def measure(name: str, items: Items, near: Tensor, sizes: Sequence[int], seed: int) -> Row:
    """Fit one kind and measure it. near: [SAMPLE_ITEMS, 10] indices of the most similar items."""
    started = perf_counter()
    book = WAYS[name](items, sizes, seed)
    seconds, codes = perf_counter() - started, book.encode(items.x)
    measures = measure_health(
        items.x, codes, measure_rebuild_errors(items.x, codes, book.decode), book.sizes, seed=seed
    )
    row: Row = {
        "quantizer": name,
        "sizes": f"{len(book.sizes)} of {book.sizes[0]}" if len(book.sizes) > 3 else "x".join(map(str, book.sizes)),
        "seed": seed,
        "collision": measures["collision_rate"],
    }
    row["collision_unseen"], row["rebuild_error_unseen"] = measure_unseen(WAYS[name], items, sizes, seed)
    row |= {key: measures[key] for key in ("edge_num", "hr_at_1", "hr_at_10")}
    row["largest_bucket"] = int(measures["largest_bucket"])
    row["dead_codes"] = int(sum(value for key, value in measures.items() if key.startswith("dead_codes")))
    row["preserved_neighbours"] = measures["preserved_neighbours_c1c2"]
    row["overlap"] = float((codes[near] == codes[: len(near), None]).double().mean())
    row["near_digits"] = measure_near_digits(items.x, codes, book, seed) if isinstance(book, ResKmeansFSQ) else ""
    row["rebuild_error"] = 1000 * measures["rebuild_error"]
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()} | {
        "seconds": round(seconds, 1)
    }


def measure_near_digits(x: Tensor, codes: Tensor, book: ResKmeansFSQ, seed: int) -> float:
    """Share of digits in which an item differs from the nearest item with its c1 and c2, over that for a random one."""
    unit, digits = normalize(x, dim=1), book.fsq.split_digits(codes[:, 2])
    same_bucket = (codes[:SAMPLE_ITEMS, None, :2] == codes[None, :, :2]).all(2)
    same_bucket[torch.arange(len(same_bucket)), torch.arange(len(same_bucket))] = False
    rows = torch.nonzero(same_bucket.any(1)).squeeze(1)
    similarity = (unit[rows] @ unit.T).masked_fill(~same_bucket[rows], -torch.inf)
    generator = torch.Generator().manual_seed(seed)
    random_items = torch.multinomial(same_bucket[rows].float(), 1, generator=generator).squeeze(1)
    near, far = ((digits[rows] != digits[other]).double().mean() for other in (similarity.argmax(1), random_items))
    return float(near / far)


def measure_unseen(way: Way, items: Items, sizes: Sequence[int], seed: int) -> tuple[float, float]:
    """Collision and rebuild error of a random fifth, after a fit on the others."""
    order = torch.randperm(len(items.x), generator=torch.Generator().manual_seed(seed))
    known, new = order[: round(0.8 * len(order))], order[round(0.8 * len(order)) :]
    book = way(items.take(known), sizes, seed)
    codes = book.encode(items.x)
    _, owner, counts = torch.unique(codes, dim=0, return_inverse=True, return_counts=True)
    error = measure_rebuild_errors(items.x[new], codes[new], book.decode).mean()
    return float((counts[owner[new]] > 1).double().mean()), 1000 * float(error)


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", choices=sorted(WAYS), nargs="+", default=list(WAYS))
    flags = parser.parse_args()
    items = load_items(flags.data)
    near = torch.from_numpy(find_neighbours(items.x, 10, exact_up_to=len(items.x)))[:SAMPLE_ITEMS]
    rows: list[Row] = []
    for sizes in SIZES:
        for name in flags.kinds:
            for seed in flags.seeds:
                rows.append(measure(name, items, near, sizes, seed))
                print(rows[-1], file=sys.stderr, flush=True)
                if flags.json:
                    flags.json.write_text(json.dumps(rows, indent=1))
    show(rows, f"{flags.data.name}, {len(items.x):,} items; {describe_machine('torch')}")


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="left" if column in ("quantizer", "sizes") else "right")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else value for value in row.values()))
    Console(width=210).print(table)


if __name__ == "__main__":
    main()
