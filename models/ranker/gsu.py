"""General search unit (GSU): a lifelong history becomes the k events that matter for a target.

Nothing is trained here, so training and prediction search once and keep the result.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.ranker.histories import Histories, Int64s, Ints
from models.ranker.search_result import PADDING, SearchResult, best_of, items_of

# What gathering an event's vector and looking its score up cost, in products of two vectors (measured, CPU).
ITEMS_PER_EVENT, LOOK_UP = 40, 4
ITEMS_AT_ONCE = 1 << 16
COMPARED_AT_ONCE = 1 << 18
GRID = 1 << 11


def exact(vectors: Tensor) -> Tensor:
    """Vectors of length 1, rounded to a grid on which float32 adds inner products up without rounding.

    They are multiples of 2^-22 below 4, so the sum is the same in any order: on every processor, and whatever is
    computed beside it. Else the last bit depends on the shape of a batch, and equally similar events change places.

    vectors  [items, d] of length 1 or 0
    returns  [items, d], each number off by 2^-12 at most
    """
    return (vectors * GRID).round() / GRID


def pca(vectors: Tensor, dim: int) -> Tensor:
    """Reduce item vectors so that the search is cheap; an inner product of the results is a cosine.

    Components come in order of variance; each one's largest weight is positive, so that the same
    vectors give the same result everywhere. Rows have length 1 (MUSE: a plain cosine searches as well
    as any learned score) or 0 where the vector is the mean of all, and are `exact`.

    vectors  [items, d] finite
    returns  [items, dim] float32 on the same device
    raises   ValueError if dim > d or a vector holds NaN or infinity
    source   QARM V2 (arXiv 2602.08559), section 4
    """
    if dim > vectors.shape[1]:
        raise ValueError(f"cannot reduce vectors of {vectors.shape[1]} dimensions to {dim}: lower dim")
    parts = torch.split(vectors, ITEMS_AT_ONCE)  # no second copy of all vectors, and none in float64
    mean = sum((part.double().sum(dim=0) for part in parts), vectors.new_zeros(vectors.shape[1]).double())
    mean = mean / max(len(vectors), 1)
    if not torch.isfinite(mean).all():
        raise ValueError("item vectors hold NaN or infinity")
    spread = mean.new_zeros(len(mean), len(mean))
    for part in parts:
        spread += (part - mean).T @ (part - mean)
    _, components = torch.linalg.eigh(spread)  # ascending
    components = components[:, -dim:].flip(1)
    largest = components.gather(0, components.abs().argmax(dim=0, keepdim=True))
    components = components * largest.sign()
    reduced = (torch.nn.functional.normalize((part - mean) @ components, dim=1) for part in parts)
    return torch.cat([exact(part).float() for part in reduced])


def latest(
    histories: Histories, user: Ints, end: Int64s, *, k: int, max_history: int = 10_000, distinct: bool = False
) -> SearchResult:
    """The last k events of each history, newest first; none before the last max_history.

    distinct  each item once, where it last happened
    """
    if distinct:
        return best_of(histories, user, np.zeros_like(user), end, _alike, torch.device("cpu"), k, max_history, distinct)
    at = end[:, None] - 1 - np.arange(k)
    events = np.where(at >= np.maximum(histories.offsets[user], end - max_history)[:, None], at, PADDING)
    return SearchResult(items_of(histories, events), np.zeros(at.shape, np.float32), events)


def _alike(target: Tensor, history: Tensor) -> Tensor:
    return torch.zeros(*target.shape, history.shape[1])


def search(
    histories: Histories,
    item_vectors: Tensor,
    user: Ints,
    target: Ints,
    end: Int64s,
    *,
    k: int,
    max_history: int = 10_000,
    distinct: bool = False,
) -> SearchResult:
    """The k history events most similar to each target, by inner product.

    Histories longer than max_history are cut to their latest max_history events. Equal similarities
    are ordered newest first. Samples of one user share the history that is gathered for them. Searched on
    the device of item_vectors.

    item_vectors  [items, d] float32, `exact`; zeros: the item has none, and is found after all that have one
    user, target  [samples], indices of the user and of the item in question
    end           [samples] int64, from Histories.ends
    distinct      each item once, where it last happened; else repeats are found as often as they happened
    source        QARM V2 (arXiv 2602.08559), section 4: inner product, not de-duplicated
    """

    last = torch.finfo(torch.float32).min
    without = ~item_vectors.any(dim=1)
    some = bool(without.any())

    def similar(target: Tensor, history: Tensor) -> Tensor:
        wanted, size = item_vectors[target], target.shape[1]
        if len(item_vectors) < (ITEMS_PER_EVENT / size - LOOK_UP) * history.shape[1]:  # score all, look events up
            every = wanted @ item_vectors.T
            scores = every.gather(2, history.unsqueeze(1).expand(-1, size, -1))
        else:
            scores = torch.bmm(wanted, torch.nn.functional.embedding(history, item_vectors).transpose(1, 2))
        return scores.masked_fill_(without[history].unsqueeze(1), last) if some else scores

    found = best_of(histories, user, target, end, similar, item_vectors.device, k, max_history, distinct)
    found.sims[found.sims == last] = 0
    return found


def similarities(item_vectors: Tensor, target: Ints, events: Ints) -> NDArray[np.float32]:
    """How similar each target is to events that were found by something else.

    item_vectors  [items, d] float32, `exact`
    target        [samples]
    events        [samples, k] items, PADDING where there is none
    returns       [samples, k] inner products, 0 where there is none
    """
    found = np.zeros(events.shape, np.float32)
    step = max(COMPARED_AT_ONCE // max(events.shape[1], 1), 1)
    for at in range(0, len(target), step):
        parts = (target[at : at + step], events[at : at + step])
        wanted, some = (torch.from_numpy(part).long().to(item_vectors.device) for part in parts)
        near = torch.einsum("sd,skd->sk", item_vectors[wanted], item_vectors[some.clamp(min=0)])
        found[at : at + step] = near.masked_fill_(some < 0, 0).cpu().numpy()
    return found


def of_category(
    histories: Histories,
    categories: Tensor,
    user: Ints,
    target: Ints,
    end: Int64s,
    *,
    k: int,
    max_history: int = 10_000,
    distinct: bool = False,
) -> SearchResult:
    """The last k events of each history whose item is of the target's category; similarities are 0.

    categories  [items] int64, -1: an item of none, which finds nothing
    distinct    as for `search`
    source      SIM (Pi et al., CIKM 2020), hard search
    """

    def same(target: Tensor, history: Tensor) -> Tensor:
        wanted = categories[target].unsqueeze(2)
        alike = (categories[history].unsqueeze(1) == wanted) & (wanted >= 0)
        return torch.where(alike, 0.0, -torch.inf)

    return best_of(histories, user, target, end, same, categories.device, k, max_history, distinct)
