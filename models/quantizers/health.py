"""How good semantic IDs are: collisions, reverse lookup, use of codes, rebuild error, kept neighbours.

Metrics are per item, and items that share an ID are ties, resolved openly: as the expected value under a
random order (counting the shared ID as a hit would flatter every codebook). Collision, EdgeNum, HR: QARM V2
(arXiv 2602.08559), section 3.2.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

_CHUNK_ELEMENTS = 1 << 24  # similarities held at once
_ROWS = 1 << 14  # rebuilt at once


def health(
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

    x       [items, dim] the vectors, at least one item; may lie in a file
    codes   [items, levels] their semantic IDs
    errors  [items] of rebuilding them, see `rebuild_errors`
    sizes   codes per level
    raises  ValueError if the shapes do not fit
    """
    if not len(x) or codes.shape != (len(x), len(sizes)) or errors.shape != (len(x),):
        raise ValueError(
            f"vectors {list(x.shape)}, codes {list(codes.shape)}, errors {list(errors.shape)} "
            f"and {len(sizes)} sizes do not fit together"
        )
    result = collisions(codes)
    for level, size in enumerate(sizes):
        result |= {f"{name}_{level + 1}": value for name, value in code_use(codes[:, level], size).items()}
        if level < len(sizes) - 1:
            result[f"rebuild_error_{level + 1}"] = prefix_error(x, codes[:, : level + 1])
    result["rebuild_error"] = float(errors.mean())
    kept = preserved_neighbours(x, codes, neighbours=neighbours, sample=sample, seed=seed)
    return result | {"preserved_neighbours_c1": kept[0], "preserved_neighbours_c1c2": kept[1]}


def rebuild_errors(x: Tensor, codes: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean squared error per element of each item rebuilt from its codes: [items] float64."""
    parts = zip(torch.split(x, _ROWS), torch.split(codes, _ROWS), strict=True)
    return torch.cat([(decode(part).double() - rows.double()).square().mean(1) for rows, part in parts])


def prefix_error(x: Tensor, prefix: Tensor) -> float:
    """Mean squared error per element of x [items, dim], each item rebuilt as the mean of those with its codes.

    prefix  [items, levels] the first codes
    """
    _, owner, counts = torch.unique(prefix, dim=0, return_inverse=True, return_counts=True)
    order, ends = torch.argsort(owner, stable=True), counts.cumsum(0)
    total, first = 0.0, 0
    while first < len(ends):  # whole groups at once, as many as fit
        start = int(ends[first] - counts[first])
        last = max(first + 1, int(torch.searchsorted(ends, start + _ROWS, right=True)))
        rows, sizes = x[order[start : ends[last - 1]]].double(), counts[first:last]
        of = torch.arange(last - first).repeat_interleave(sizes)
        means = torch.zeros(last - first, x.shape[1], dtype=torch.float64).index_add_(0, of, rows) / sizes[:, None]
        total += float((rows - means[of]).square().sum())
        first = last
    return total / x.numel()


def collisions(codes: Tensor) -> dict[str, float]:
    """How far an ID [items, levels] tells its item from the others."""
    _, owner, counts = torch.unique(codes, dim=0, return_inverse=True, return_counts=True)
    bucket = counts[owner].double()  # [items] how many items carry this item's ID
    return {
        "collision_rate": float((bucket > 1).double().mean()),
        "unique_share": len(counts) / len(codes),
        "largest_bucket": float(bucket.max()),
        "bucket_share": float(bucket.max()) / len(codes),
        "edge_num": float(bucket.mean()),
        "hr_at_1": float((1 / bucket).mean()),
        "hr_at_10": float((10 / bucket).clamp_max(1).mean()),
    }


def code_use(codes: Tensor, size: int) -> dict[str, float]:
    """How evenly a level's codes [items] are used; perplexity = the number of equally used codes."""
    counts = torch.bincount(codes.long(), minlength=size)
    share = counts[counts > 0].double() / len(codes)
    used = float(len(share))
    return {
        "used_codes": used,
        "dead_codes": size - used,
        "perplexity": float(torch.exp(-(share * share.log()).sum())),
    }


def preserved_neighbours(x: Tensor, codes: Tensor, *, neighbours: int, sample: int, seed: int) -> tuple[float, float]:
    """Share of the nearest items by cosine that have the same c1, and the same c1 and c2.

    Measured on `sample` items drawn with the seed, against all items. NaN where there is no other item.
    """
    wanted = min(neighbours, len(x) - 1)
    if wanted < 1:
        return float("nan"), float("nan")
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:sample]
    mine = normalize(x[chosen].float(), dim=1)
    best, near = torch.full((len(chosen), wanted), -torch.inf), torch.zeros(len(chosen), wanted, dtype=torch.int64)
    step = max(1, _CHUNK_ELEMENTS // len(chosen))
    for first in range(0, len(x), step):
        similar = mine @ normalize(x[first : first + step].float(), dim=1).T
        inside = torch.nonzero((chosen >= first) & (chosen < first + step)).squeeze(1)
        similar[inside, chosen[inside] - first] = -torch.inf  # an item is not its own neighbour
        best, at = torch.cat([best, similar], dim=1).topk(wanted, dim=1)
        known = torch.cat([near, torch.arange(first, first + similar.shape[1]).expand(len(chosen), -1)], dim=1)
        near = known.gather(1, at)
    agree = (codes[near][:, :, :2] == codes[chosen][:, None, :2]).cumprod(2)
    c1, c1c2 = agree.double().mean((0, 1)).tolist()
    return c1, c1c2
