"""General search unit (GSU): a lifelong history becomes the k events that matter for a target.

Nothing is trained here, so training and prediction search once and keep the result.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.ranker.histories import Histories, Int32s, Int64s, Ints

PADDING = -1
SCORES_PER_BATCH = 500_000  # padded (sample, event) pairs scored at once: bounds memory
ITEMS_PER_EVENT = 40  # gathering one event's vector costs about as much as multiplying 50 (measured, CPU)


def pca(vectors: Tensor, dim: int) -> Tensor:
    """Reduce item vectors so that the search is cheap; an inner product of the results is a cosine.

    Components come in order of variance; each one's largest weight is positive, so that the same
    vectors give the same result everywhere. Rows have length 1 (MUSE: a plain cosine searches as well
    as any learned score) or 0 where the vector is the mean of all.

    vectors  [items, d] finite
    returns  [items, dim] float32 on the same device
    raises   ValueError if dim > d or a vector holds NaN or infinity
    source   QARM V2 (arXiv 2602.08559), section 4
    """
    if dim > vectors.shape[1]:
        raise ValueError(f"cannot reduce vectors of {vectors.shape[1]} dimensions to {dim}: lower dim")
    if not torch.isfinite(vectors).all():
        raise ValueError("item vectors hold NaN or infinity")
    centred = vectors.double() - vectors.double().mean(dim=0)
    _, components = torch.linalg.eigh(centred.T @ centred)  # ascending
    components = components[:, -dim:].flip(1)
    largest = components.gather(0, components.abs().argmax(dim=0, keepdim=True))
    reduced = centred @ (components * largest.sign())
    return torch.nn.functional.normalize(reduced, dim=1).float()


class Found(NamedTuple):
    """The events that matter for each of some samples, most similar or newest first.

    items   [samples, k] int32, PADDING where the history is shorter
    sims    [samples, k] float32 similarities to the target, 0 there and where nothing was compared
    events  [samples, k] int64, where each stands in the histories, PADDING there
    """

    items: Int32s
    sims: NDArray[np.float32]
    events: Int64s


def latest(histories: Histories, user: Ints, end: Int64s, *, k: int) -> Found:
    """The last k events of each history, newest first."""
    at = end[:, None] - 1 - np.arange(k)
    events = np.where(at >= histories.offsets[user][:, None], at, PADDING)
    return Found(_items(histories, events), np.zeros(at.shape, np.float32), events)


def search(
    histories: Histories,
    item_vectors: Tensor,
    user: Ints,
    target: Ints,
    end: Int64s,
    *,
    k: int,
    max_history: int = 10_000,
) -> Found:
    """The k history events most similar to each target, by inner product, repeats included.

    Histories longer than max_history are cut to their latest max_history events. Equal similarities
    are ordered newest first. Samples are searched in batches of like history length, on the device of
    item_vectors.

    item_vectors  [items, d] float32
    user, target  [samples], indices of the user and of the item in question
    end           [samples] int64, from Histories.ends
    source        QARM V2 (arXiv 2602.08559), section 4: inner product, not de-duplicated
    """

    def similar(target: Tensor, history: Tensor) -> Tensor:
        wanted, at = item_vectors[target], history.clamp(min=0).long()
        if len(item_vectors) < ITEMS_PER_EVENT * history.shape[1]:  # score all items, look the events up
            return (wanted @ item_vectors.T).gather(1, at)
        return torch.bmm(item_vectors[at], wanted.unsqueeze(2)).squeeze(2)

    return _best(histories, user, target, end, similar, item_vectors.device, k, max_history)


def of_category(
    histories: Histories,
    categories: Tensor,
    user: Ints,
    target: Ints,
    end: Int64s,
    *,
    k: int,
    max_history: int = 10_000,
) -> Found:
    """The last k events of each history whose item is of the target's category; similarities are 0.

    categories  [items] int64, -1: an item of none, which finds nothing
    source      SIM (Pi et al., CIKM 2020), hard search
    """

    def same(target: Tensor, history: Tensor) -> Tensor:
        wanted = categories[target].unsqueeze(1)
        alike = (categories[history.clamp(min=0).long()] == wanted) & (wanted >= 0)
        return torch.where(alike, 0.0, -torch.inf)

    return _best(histories, user, target, end, same, categories.device, k, max_history)


def _best(
    histories: Histories,
    user: Ints,
    target: Ints,
    end: Int64s,
    score: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
    k: int,
    max_history: int,
) -> Found:
    """The k events of each history that score best, newest first among equals; what scores -inf is none."""
    lengths = np.minimum(histories.lengths(user, end), max_history)
    found = Found(
        np.full((len(target), k), PADDING, np.int32),
        np.zeros((len(target), k), np.float32),
        np.full((len(target), k), PADDING, np.int64),
    )
    for rows in _batches(lengths):
        back = np.arange(max(int(lengths[rows].max()), 1))
        events = np.where(back < lengths[rows][:, None], end[rows][:, None] - 1 - back, PADDING)
        history = torch.from_numpy(_items(histories, events)).to(device)
        scores = score(torch.as_tensor(target[rows], dtype=torch.int64, device=device), history)
        scores.masked_fill_(history == PADDING, -torch.inf)  # at 0, padding would win over negative similarities
        first = _newest_first_keys(scores).topk(min(k, history.shape[1]), dim=1).indices
        best = scores.gather(1, first).cpu().numpy()
        none, width = np.isneginf(best), first.shape[1]
        found.events[rows, :width] = np.where(none, PADDING, np.take_along_axis(events, first.cpu().numpy(), 1))
        found.sims[rows, :width] = np.where(none, 0.0, best)
    found.items[:] = _items(histories, found.events)
    return found


def _newest_first_keys(scores: Tensor) -> Tensor:
    """Integers in the order of scores [batch, length], ties by position: topk alone leaves ties open."""
    bits = (scores + 0.0).view(torch.int32)  # + 0.0 makes -0.0 and 0.0 one
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    return (ordered << 32) - torch.arange(scores.shape[1], device=scores.device)


def _batches(lengths: Int64s) -> list[Int64s]:
    """Rows in batches of like history length, so that little of a padded batch is padding."""
    order = np.argsort(lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        # The longest history of a batch is its last: take as many rows as fit, at least one.
        widths = np.maximum(lengths[order[start : start + SCORES_PER_BATCH]], 1)
        size = max(int(np.searchsorted(widths * np.arange(1, len(widths) + 1), SCORES_PER_BATCH, "right")), 1)
        batches.append(order[start : start + size])
        start += size
    return batches


def _items(histories: Histories, events: Int64s) -> Int32s:
    if not len(histories.items):
        return np.full(events.shape, PADDING, np.int32)
    return np.where(events < 0, np.int32(PADDING), histories.items[np.maximum(events, 0)])
