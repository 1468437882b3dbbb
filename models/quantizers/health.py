"""Measure how good semantic IDs are: collisions, reverse lookup, use of codes, rebuild error, kept neighbours.

Metrics are means over items. Where items share an ID, a lookup counts as the expected value under a random order of
these items; counting every one of them as a hit would flatter the codebook. Collision rate, edge number and hit rate:
QARM V2 (arXiv 2602.08559), section 3.2.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

_CHUNK_ELEMENTS = 1 << 24  # similarities in memory at once
_ROWS = 1 << 14  # rebuilt at once


def measure_health(
    x: Tensor,
    codes: Tensor,
    errors: Tensor,
    sizes: Sequence[int],
    *,
    neighbours: int = 10,
    sample: int = 2000,
    seed: int,
) -> dict[str, float]:
    """Measure the semantic IDs of a set of items. Shares are from 0 to 1.

    x       [items, dim] the vectors, at least one item; may be mapped from a file
    codes   [items, levels] their semantic IDs
    errors  [items] of rebuilding them, see `measure_rebuild_errors`
    sizes   codes per level
    neighbours, sample, seed  as of `measure_preserved_neighbours`
    raises  ValueError if the shapes do not fit
    """
    if not len(x) or codes.shape != (len(x), len(sizes)) or errors.shape != (len(x),):
        raise ValueError(
            f"vectors {list(x.shape)}, codes {list(codes.shape)}, errors {list(errors.shape)} "
            f"and {len(sizes)} sizes do not fit together"
        )
    result = measure_collisions(codes)
    for level, size in enumerate(sizes):
        result |= {f"{name}_{level + 1}": value for name, value in measure_code_use(codes[:, level], size).items()}
        if level < len(sizes) - 1:
            result[f"rebuild_error_{level + 1}"] = measure_prefix_error(x, codes[:, : level + 1])
    result["rebuild_error"] = float(errors.mean())
    c1, c1c2 = measure_preserved_neighbours(x, codes, neighbours=neighbours, sample=sample, seed=seed)
    return result | {"preserved_neighbours_c1": c1, "preserved_neighbours_c1c2": c1c2}


def measure_rebuild_errors(x: Tensor, codes: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean squared error per element of each item x [items, dim] rebuilt from its codes [items, levels].

    returns  [items] float64
    raises   ValueError if `decode` refuses a code
    """
    parts = zip(torch.split(x, _ROWS), torch.split(codes, _ROWS), strict=True)
    return torch.cat([(decode(part).double() - rows.double()).square().mean(1) for rows, part in parts])


def measure_prefix_error(x: Tensor, prefix: Tensor) -> float:
    """Mean squared error per element of x [items, dim] if each item is rebuilt as the mean of those with its prefix.

    prefix  [items, levels] the first codes
    """
    _, owner, counts = torch.unique(prefix, dim=0, return_inverse=True, return_counts=True)
    order, ends = torch.argsort(owner, stable=True), counts.cumsum(0)
    total, first = 0.0, 0
    while first < len(ends):  # read whole groups, as many as fit in _ROWS
        start = int(ends[first] - counts[first])
        last = max(first + 1, int(torch.searchsorted(ends, start + _ROWS, right=True)))
        rows, sizes = x[order[start : ends[last - 1]]].double(), counts[first:last]
        group = torch.arange(last - first).repeat_interleave(sizes)
        means = torch.zeros(last - first, x.shape[1], dtype=torch.float64).index_add_(0, group, rows) / sizes[:, None]
        total += float((rows - means[group]).square().sum())
        first = last
    return total / x.numel()


def measure_collisions(codes: Tensor) -> dict[str, float]:
    """How many items share an ID, and how often a lookup by ID finds the item. codes [items, levels]."""
    _, owner, counts = torch.unique(codes, dim=0, return_inverse=True, return_counts=True)
    bucket = counts[owner].double()  # [items] how many items have this item's ID
    return {
        "collision_rate": float((bucket > 1).double().mean()),
        "unique_share": len(counts) / len(codes),
        "largest_bucket": float(bucket.max()),
        "bucket_share": float(bucket.max()) / len(codes),
        "edge_num": float(bucket.mean()),
        "hr_at_1": float((1 / bucket).mean()),
        "hr_at_10": float((10 / bucket).clamp_max(1).mean()),
    }


def measure_code_use(codes: Tensor, size: int) -> dict[str, float]:
    """How evenly the codes [items] of a level are used. Perplexity: so many equally used codes would be as diverse."""
    counts = torch.bincount(codes.long(), minlength=size)
    share = counts[counts > 0].double() / len(codes)
    used = float(len(share))
    return {
        "used_codes": used,
        "dead_codes": size - used,
        "perplexity": float(torch.exp(-(share * share.log()).sum())),
    }


def measure_preserved_neighbours(
    x: Tensor, codes: Tensor, *, neighbours: int, sample: int, seed: int
) -> tuple[float, float]:
    """The share of an item's nearest items that have its c1, and the share that have its c1 and c2.

    x           [items, dim]
    codes       [items, levels]
    neighbours  how many nearest items, by cosine
    sample      how many items, drawn with the seed, are compared with all items
    returns     two means over the sample; NaN if there is only one item
    """
    count = min(neighbours, len(x) - 1)
    if count < 1:
        return float("nan"), float("nan")
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:sample]
    chosen_rows = normalize(x[chosen].float(), dim=1)
    best, nearest = torch.full((len(chosen), count), -torch.inf), torch.zeros(len(chosen), count, dtype=torch.int64)
    step = max(1, _CHUNK_ELEMENTS // len(chosen))
    for first in range(0, len(x), step):
        similarity = chosen_rows @ normalize(x[first : first + step].float(), dim=1).T
        in_block = torch.nonzero((chosen >= first) & (chosen < first + step)).squeeze(1)
        similarity[in_block, chosen[in_block] - first] = -torch.inf  # an item is not its own neighbour
        best, place = torch.cat([best, similarity], dim=1).topk(count, dim=1)
        block_items = torch.arange(first, first + similarity.shape[1]).expand(len(chosen), -1)
        nearest = torch.cat([nearest, block_items], dim=1).gather(1, place)
    agree = (codes[nearest][:, :, :2] == codes[chosen][:, None, :2]).cumprod(2)
    c1, c1c2 = agree.double().mean((0, 1)).tolist()
    return c1, c1c2
