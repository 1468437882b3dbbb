"""Selects the k best events of every history by any score, in batches that read a user's history once."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.ranker.histories import Histories, Int32s, Int64s, Ints

PADDING = -1
SCORES_PER_BATCH = 500_000  # most padded (sample, event) pairs scored at once, to limit memory
GROUP = 32  # samples of one user that share a gathered history


class SearchResult(NamedTuple):
    """The events that a search found for each sample, most similar or newest first.

    items   [samples, k] int32, PADDING where the history is shorter
    sims    [samples, k] float32, similarity to the target; 0 for padding and where nothing was compared
    events  [samples, k] int64, position of each event in the histories; PADDING for padding
    """

    items: Int32s
    sims: NDArray[np.float32]
    events: Int64s


def select_best(
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
    """The k events of each history with the highest scores, newest first among equals.

    score  of targets [groups, size] with the items of a history each [groups, length]: [groups, size, length]; events
           with score -inf are never selected
    """
    result = SearchResult(
        np.full((len(target), k), PADDING, np.int32),
        np.zeros((len(target), k), np.float32),
        np.full((len(target), k), PADDING, np.int64),
    )
    for rows, newest, history, events, is_outside in gather_histories(histories, user, end, max_history, device):
        scores = score(torch.as_tensor(target[rows], dtype=torch.int64, device=device), history)
        scores.masked_fill_(is_outside, -torch.inf)
        if distinct:  # only an item's last event before the end of the sample's history counts
            is_repeated = histories.is_repeated(np.maximum(events, 0)[:, None], end[rows][:, :, None])
            scores.masked_fill_(torch.from_numpy(is_repeated).to(device), -torch.inf)
        best, places = _top_k_newest_first(scores.flatten(0, 1), min(k, events.shape[1]))
        selected = np.repeat(newest, rows.shape[1])[:, None] - 1 - places.cpu().numpy()
        sims, samples = best.cpu().numpy(), rows.ravel()
        is_padding = np.isneginf(sims)
        result.events[samples, : selected.shape[1]] = np.where(is_padding, PADDING, selected)
        result.sims[samples, : selected.shape[1]] = np.where(is_padding, 0.0, sims)
    result.items[:] = look_up_items(histories, result.events)
    return result


class Gathered(NamedTuple):
    """Samples in groups of one user each, with the histories of these users, newest event first.

    rows        [groups, size] numbers of samples
    newest      [groups] where the latest history of the group ends
    items       [groups, length] int64
    events      [groups, length] positions in the histories; below 0 before the first event of all
    is_outside  [groups, size, length] whether an event is no part of the sample's history
    """

    rows: Int64s
    newest: Int64s
    items: Tensor
    events: Int64s
    is_outside: Tensor


def gather_histories(
    histories: Histories, user: Ints, end: Int64s, max_history: int, device: torch.device
) -> Iterator[Gathered]:
    """The last max_history events of each sample's history, in batches. Samples without events are in no batch."""
    begin = np.maximum(histories.offsets[user], end - max_history)
    for rows in _group_rows(user, begin, end, max_history):
        newest, oldest = end[rows].max(axis=1), begin[rows].min(axis=1)
        back = np.arange((newest - oldest).max(), dtype=np.int32)
        events = newest[:, None] - 1 - back
        items = torch.from_numpy(histories.items[np.maximum(events, 0)]).long().to(device)
        first, beyond = (
            torch.as_tensor((newest[:, None] - bound[rows]).astype(np.int32), device=device).unsqueeze(2)
            for bound in (end, begin)
        )
        place = torch.from_numpy(back).to(device)
        is_outside = (place < first) | (place >= beyond)
        if histories.hidden_by is not None:
            is_hidden = histories.is_hidden(np.maximum(events, 0)[:, None], end[rows][:, :, None])
            is_outside |= torch.from_numpy(is_hidden).to(device)
        yield Gathered(rows, newest, items, events, is_outside)


def _top_k_newest_first(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best [rows, k] of scores [rows, length] and their places. Ties are ordered by place, unlike in topk."""
    best, places = scores.topk(k, dim=1)
    last = best[:, -1:]
    ambiguous = ((scores == last).sum(dim=1) > (best == last).sum(dim=1)) & ~torch.isneginf(last.squeeze(1))
    if ambiguous.any():  # topk left out some scores that equal the last
        places[ambiguous] = _sort_keys(scores[ambiguous]).topk(k, dim=1).indices
    places = places.sort(dim=1).values
    best, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return best, places.gather(1, order)


def _sort_keys(scores: Tensor) -> Tensor:
    """Distinct integers in the order of scores [rows, length], ties by place."""
    bits = (scores + 0.0).view(torch.int32)  # + 0.0 turns -0.0 into 0.0
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    return (ordered << 32) - torch.arange(scores.shape[1], device=scores.device)


def _group_rows(user: Ints, begin: Int64s, end: Int64s, max_history: int) -> Iterator[Int64s]:
    """Batches of rows [groups, size]. A group is rows of one user, whose events are gathered once for all of them.

    The ends within a group lie within max_history events. The groups of a batch have one size and similar history
    lengths, so little of a batch is padding. Rows without events are in no group.
    """
    order = np.lexsort((end, user))
    order = order[end[order] > begin[order]]
    if not len(order):
        return
    stretch = end[order] // max_history  # counted over the histories of all users together
    new = (np.diff(user[order], prepend=-1) != 0) | (np.diff(stretch, prepend=-1) != 0)
    first = np.flatnonzero(new)
    count = np.diff(first, append=len(order))
    start = np.flatnonzero((np.arange(len(order)) - np.repeat(first, count)) % GROUP == 0)
    sizes = np.diff(start, append=len(order))
    for size in np.unique(sizes):
        rows = order[start[sizes == size][:, None] + np.arange(size)]
        length = end[rows].max(axis=1) - begin[rows].min(axis=1)
        by_length = np.argsort(length, kind="stable")
        at = 0
        while at < len(rows):
            # The longest history of a batch is its last: take as many groups as fit, but at least one.
            widths = size * length[by_length[at : at + SCORES_PER_BATCH]]
            fit = max(int(np.searchsorted(widths * np.arange(1, len(widths) + 1), SCORES_PER_BATCH, "right")), 1)
            yield rows[by_length[at : at + fit]]
            at += fit


def look_up_items(histories: Histories, events: Int64s) -> Int32s:
    """The items of events [samples, k], PADDING for padding."""
    if not len(histories.items):
        return np.full(events.shape, PADDING, np.int32)
    return np.where(events < 0, np.int32(PADDING), histories.items[np.maximum(events, 0)])
