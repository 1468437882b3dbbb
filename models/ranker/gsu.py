"""General search unit (GSU): finds the k events of a lifelong history that matter for a target item.

The GSU has no weights, so training and prediction search once and keep the result.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.ranker.histories import Histories, Int64s, Ints
from models.ranker.search_result import PADDING, SearchResult, look_up_items, select_best

# Cost of gathering an event's vector and of looking up its score, in products of two vectors (measured on a CPU).
ITEMS_PER_EVENT, LOOK_UP = 40, 4
ITEMS_AT_ONCE = 1 << 16
COMPARED_AT_ONCE = 1 << 18
GRID = 1 << 11


def round_to_grid(vectors: Tensor) -> Tensor:
    """Round vectors of length 1 to a grid on which float32 computes inner products without rounding.

    The products are multiples of 2^-22 below 4, so their sum is the same in any order, on every processor, and in every
    batch. Without this, the last bit of a similarity depends on the shape of the batch, and events that are equally
    similar change places.

    vectors  [items, d] of length 1 or 0
    returns  [items, d], each number at most 2^-12 off
    """
    return (vectors * GRID).round() / GRID


def pca(vectors: Tensor, dim: int) -> Tensor:
    """Reduce item vectors so that the search is cheap. An inner product of two results is a cosine.

    Components are ordered by variance. The largest weight of each is positive, so the same vectors give the same result
    everywhere. Results have length 1 (MUSE: a plain cosine searches as well as any learned score), or 0 if the vector
    is the mean of all, and are rounded by `round_to_grid`.

    vectors  [items, d] finite
    returns  [items, dim] float32 on the same device
    raises   ValueError if dim > d or a vector holds NaN or infinity
    source   QARM V2 (arXiv 2602.08559), section 4
    """
    if dim > vectors.shape[1]:
        raise ValueError(f"cannot reduce vectors of {vectors.shape[1]} dimensions to {dim}: lower dim")
    parts = torch.split(vectors, ITEMS_AT_ONCE)  # no second copy of all vectors, and no copy in float64
    mean = sum((part.double().sum(dim=0) for part in parts), vectors.new_zeros(vectors.shape[1]).double())
    mean = mean / max(len(vectors), 1)
    if not torch.isfinite(mean).all():
        raise ValueError("item vectors hold NaN or infinity")
    covariance = mean.new_zeros(len(mean), len(mean))
    for part in parts:
        covariance += (part - mean).T @ (part - mean)
    _, components = torch.linalg.eigh(covariance)  # ascending
    components = components[:, -dim:].flip(1)
    largest = components.gather(0, components.abs().argmax(dim=0, keepdim=True))
    components = components * largest.sign()
    reduced = (torch.nn.functional.normalize((part - mean) @ components, dim=1) for part in parts)
    return torch.cat([round_to_grid(part).float() for part in reduced])


def search_latest(
    histories: Histories, user: Ints, end: Int64s, *, k: int, max_history: int = 10_000, distinct: bool = False
) -> SearchResult:
    """The last k events of each history, newest first, from its last max_history events.

    distinct  each item once, at its last event
    """
    if distinct:
        targets, device = np.zeros_like(user), torch.device("cpu")
        return select_best(histories, user, targets, end, _score_equally, device, k, max_history, distinct)
    begin = np.maximum(histories.offsets[user], end - max_history)
    events = _find_latest(histories, begin, end, k)
    return SearchResult(look_up_items(histories, events), np.zeros(events.shape, np.float32), events)


def _find_latest(histories: Histories, begin: Int64s, end: Int64s, k: int) -> Int64s:
    """Positions [samples, k] of the last k events that are not taken back, newest first, then PADDING."""
    back = k
    while True:
        positions = end[:, None] - 1 - np.arange(back)
        is_found = positions >= begin[:, None]
        if histories.hidden_by is None:
            return np.where(is_found, positions, PADDING)
        is_found &= ~histories.is_hidden(np.maximum(positions, 0), end[:, None])
        if ((is_found.sum(axis=1) >= k) | (positions[:, -1] <= begin)).all():
            first = np.argsort(~is_found, axis=1, kind="stable")[:, :k]
            return np.take_along_axis(np.where(is_found, positions, PADDING), first, axis=1)
        back *= 2


def _score_equally(target: Tensor, history: Tensor) -> Tensor:
    return torch.zeros(*target.shape, history.shape[1])


def search_similar(
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
    """The k events of each history most similar to the target, by inner product.

    Only the last max_history events of a history are searched. Events that are equally similar are ordered newest
    first. Samples of one user share the history that is gathered for them. The search runs on the device of
    item_vectors.

    item_vectors  [items, d] float32, rounded by `round_to_grid`; zeros for an item without a vector, whose events come
                  after all others
    user, target  [samples], indices of the user and of the target item
    end           [samples] int64, from Histories.ends
    distinct      each item once, at its last event; otherwise events are found as often as they happened
    source        QARM V2 (arXiv 2602.08559), section 4: inner product, not de-duplicated
    """

    lowest = torch.finfo(torch.float32).min
    has_no_vector = ~item_vectors.any(dim=1)
    some_have_none = bool(has_no_vector.any())

    def score(target: Tensor, history: Tensor) -> Tensor:
        queries, size = item_vectors[target], target.shape[1]
        # With few items it is cheaper to score all items and look the events up.
        if len(item_vectors) < (ITEMS_PER_EVENT / size - LOOK_UP) * history.shape[1]:
            item_scores = queries @ item_vectors.T
            scores = item_scores.gather(2, history.unsqueeze(1).expand(-1, size, -1))
        else:
            scores = torch.bmm(queries, torch.nn.functional.embedding(history, item_vectors).transpose(1, 2))
        return scores.masked_fill_(has_no_vector[history].unsqueeze(1), lowest) if some_have_none else scores

    result = select_best(histories, user, target, end, score, item_vectors.device, k, max_history, distinct)
    result.sims[result.sims == lowest] = 0
    return result


def compute_similarities(item_vectors: Tensor, target: Ints, events: Ints) -> NDArray[np.float32]:
    """How similar each target is to events that another search found.

    item_vectors  [items, d] float32, rounded by `round_to_grid`
    target        [samples]
    events        [samples, k] items, PADDING where there is no event
    returns       [samples, k] inner products, 0 where there is no event
    """
    sims = np.zeros(events.shape, np.float32)
    step = max(COMPARED_AT_ONCE // max(events.shape[1], 1), 1)
    for start in range(0, len(target), step):
        parts = (target[start : start + step], events[start : start + step])
        targets, items = (torch.from_numpy(part).long().to(item_vectors.device) for part in parts)
        products = torch.einsum("sd,skd->sk", item_vectors[targets], item_vectors[items.clamp(min=0)])
        sims[start : start + step] = products.masked_fill_(items < 0, 0).cpu().numpy()
    return sims


def search_category(
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
    """The last k events of each history whose item is in the target's category. Similarities are 0.

    categories  [items] int64, -1 for an item without a category: as a target it finds nothing
    distinct    as for `search_similar`
    source      SIM (Pi et al., CIKM 2020), hard search
    """

    def score(target: Tensor, history: Tensor) -> Tensor:
        target_category = categories[target].unsqueeze(2)
        is_same = (categories[history].unsqueeze(1) == target_category) & (target_category >= 0)
        return torch.where(is_same, 0.0, -torch.inf)

    return select_best(histories, user, target, end, score, categories.device, k, max_history, distinct)
