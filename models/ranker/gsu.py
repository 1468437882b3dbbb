"""General search unit (GSU): a lifelong history becomes the k events that matter for a target.

Nothing is trained here, so training and prediction search once and keep the result.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.ranker.histories import Histories, Int32s, Int64s, Ints

PADDING = -1
SCORES_PER_BATCH = 500_000  # padded (sample, event) pairs scored at once: bounds memory
GROUP = 32  # samples of one user that share a gathered history
# What gathering an event's vector and looking its score up cost, in products of two vectors (measured, CPU).
ITEMS_PER_EVENT, LOOK_UP = 40, 4


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
    are ordered newest first. Samples of one user share the history that is gathered for them. Searched on
    the device of item_vectors.

    item_vectors  [items, d] float32
    user, target  [samples], indices of the user and of the item in question
    end           [samples] int64, from Histories.ends
    source        QARM V2 (arXiv 2602.08559), section 4: inner product, not de-duplicated
    """

    def similar(target: Tensor, history: Tensor) -> Tensor:
        wanted, groups = item_vectors[target], target.shape[1]
        if len(item_vectors) < (ITEMS_PER_EVENT / groups - LOOK_UP) * history.shape[1]:  # score all, look events up
            every = wanted @ item_vectors.T
            return every.gather(2, history.unsqueeze(1).expand(-1, groups, -1))
        return torch.bmm(wanted, torch.nn.functional.embedding(history, item_vectors).transpose(1, 2))

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
        wanted = categories[target].unsqueeze(2)
        alike = (categories[history].unsqueeze(1) == wanted) & (wanted >= 0)
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
    """The k events of each history that score best, newest first among equals; what scores -inf is none.

    score  of targets [groups, size] with the events of one history each [groups, length]: [groups, size, length]
    """
    begin = np.maximum(histories.offsets[user], end - max_history)
    found = Found(
        np.full((len(target), k), PADDING, np.int32),
        np.zeros((len(target), k), np.float32),
        np.full((len(target), k), PADDING, np.int64),
    )
    for rows in _batches(user, begin, end):
        newest, oldest = end[rows].max(axis=1), begin[rows].min(axis=1)
        back = np.arange((newest - oldest).max(), dtype=np.int32)
        events = newest[:, None] - 1 - back
        history = torch.from_numpy(histories.items[np.maximum(events, 0)]).long().to(device)
        scores = score(torch.as_tensor(target[rows], dtype=torch.int64, device=device), history)
        first, beyond = (
            torch.as_tensor((newest[:, None] - at[rows]).astype(np.int32), device=device).unsqueeze(2)
            for at in (end, begin)
        )
        place = torch.from_numpy(back).to(device)
        scores.masked_fill_((place < first) | (place >= beyond), -torch.inf)
        best, at = _newest_first(scores.flatten(0, 1), min(k, len(back)))
        taken = np.take_along_axis(events.repeat(rows.shape[1], axis=0), at.cpu().numpy(), 1)
        sims, one = best.cpu().numpy(), rows.ravel()
        none = np.isneginf(sims)
        found.events[one, : taken.shape[1]] = np.where(none, PADDING, taken)
        found.sims[one, : taken.shape[1]] = np.where(none, 0.0, sims)
    found.items[:] = _items(histories, found.events)
    return found


def _newest_first(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best [rows, k] of scores [rows, length] and their places, ties by place, which topk leaves open."""
    best, at = scores.topk(k, dim=1)
    last = best[:, -1:]
    more = ((scores == last).sum(dim=1) > (best == last).sum(dim=1)) & ~torch.isneginf(last.squeeze(1))
    if more.any():  # equal scores, some of which were left out
        at[more] = _keys(scores[more]).topk(k, dim=1).indices
    at = at.sort(dim=1).values
    best, order = scores.gather(1, at).sort(dim=1, descending=True, stable=True)
    return best, at.gather(1, order)


def _keys(scores: Tensor) -> Tensor:
    """Integers in the order of scores [rows, length], ties by place."""
    bits = (scores + 0.0).view(torch.int32)  # + 0.0 makes -0.0 and 0.0 one
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    return (ordered << 32) - torch.arange(scores.shape[1], device=scores.device)


def _batches(user: Ints, begin: Int64s, end: Int64s) -> Iterator[Int64s]:
    """Rows [groups, size] of one user each, whose events are gathered once for all of a group.

    Groups of a batch have one size and like history lengths, so that little of it is padding. Rows without events are
    in none.
    """
    order = np.lexsort((end, user))
    order = order[end[order] > begin[order]]
    if not len(order):
        return
    _, first, count = np.unique(user[order], return_index=True, return_counts=True)
    start = np.concatenate([at + np.arange(0, n, GROUP) for at, n in zip(first, count, strict=True)])
    size = np.diff(start, append=len(order))
    for each in np.unique(size):
        rows = order[start[size == each][:, None] + np.arange(each)]
        length = end[rows].max(axis=1) - begin[rows].min(axis=1)
        by_length = np.argsort(length, kind="stable")
        at = 0
        while at < len(rows):
            # The longest history of a batch is its last: take as many groups as fit, at least one.
            widths = each * length[by_length[at : at + SCORES_PER_BATCH]]
            fit = max(int(np.searchsorted(widths * np.arange(1, len(widths) + 1), SCORES_PER_BATCH, "right")), 1)
            yield rows[by_length[at : at + fit]]
            at += fit


def _items(histories: Histories, events: Int64s) -> Int32s:
    if not len(histories.items):
        return np.full(events.shape, PADDING, np.int32)
    return np.where(events < 0, np.int32(PADDING), histories.items[np.maximum(events, 0)])
