"""The best k events of every history by any score, in batches that gather a user's history once."""

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


class SearchResult(NamedTuple):
    """The events that matter for each of some samples, most similar or newest first.

    items   [samples, k] int32, PADDING where the history is shorter
    sims    [samples, k] float32 similarities to the target, 0 there and where nothing was compared
    events  [samples, k] int64, where each stands in the histories, PADDING there
    """

    items: Int32s
    sims: NDArray[np.float32]
    events: Int64s


def best_of(
    histories: Histories,
    user: Ints,
    target: Ints,
    end: Int64s,
    score: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
    k: int,
    max_history: int,
    distinct: bool,
) -> SearchResult:
    """The k events of each history that score best, newest first among equals; what scores -inf is none.

    score  of targets [groups, size] with the events of one history each [groups, length]: [groups, size, length]
    """
    begin = np.maximum(histories.offsets[user], end - max_history)
    again = histories.again if distinct else None
    found = SearchResult(
        np.full((len(target), k), PADDING, np.int32),
        np.zeros((len(target), k), np.float32),
        np.full((len(target), k), PADDING, np.int64),
    )
    for rows in _batches(user, begin, end, max_history):
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
        if again is not None:  # it happens once more before the sample's end
            repeated = again[np.maximum(events, 0)][:, None] < end[rows][:, :, None]
            scores.masked_fill_(torch.from_numpy(repeated).to(device), -torch.inf)
        best, at = _newest_first(scores.flatten(0, 1), min(k, len(back)))
        taken = np.repeat(newest, rows.shape[1])[:, None] - 1 - at.cpu().numpy()
        sims, one = best.cpu().numpy(), rows.ravel()
        none = np.isneginf(sims)
        found.events[one, : taken.shape[1]] = np.where(none, PADDING, taken)
        found.sims[one, : taken.shape[1]] = np.where(none, 0.0, sims)
    found.items[:] = items_of(histories, found.events)
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


def _batches(user: Ints, begin: Int64s, end: Int64s, max_history: int) -> Iterator[Int64s]:
    """Rows [groups, size] of one user each, whose events are gathered once for all of a group.

    The ends of a group lie within max_history events. Groups of a batch have one size and like history lengths, so that
    little of it is padding. Rows without events are in none.
    """
    order = np.lexsort((end, user))
    order = order[end[order] > begin[order]]
    if not len(order):
        return
    stretch = end[order] // max_history  # of all histories, one user's after another's
    new = (np.diff(user[order], prepend=-1) != 0) | (np.diff(stretch, prepend=-1) != 0)
    first = np.flatnonzero(new)
    count = np.diff(first, append=len(order))
    start = np.flatnonzero((np.arange(len(order)) - np.repeat(first, count)) % GROUP == 0)
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


def items_of(histories: Histories, events: Int64s) -> Int32s:
    """The items of events [samples, k], PADDING where these are."""
    if not len(histories.items):
        return np.full(events.shape, PADDING, np.int32)
    return np.where(events < 0, np.int32(PADDING), histories.items[np.maximum(events, 0)])
