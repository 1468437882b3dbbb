"""General search unit (GSU): a lifelong history becomes the k events that matter for a target.

Nothing is trained here, so training and prediction search once and keep the result.
"""

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


def latest(histories: Histories, user: Ints, end: Int64s, *, k: int) -> Int32s:
    """The last k items [samples, k] int32 of each history, newest first, PADDING where it is shorter."""
    at = end[:, None] - 1 - np.arange(k)
    inside = at >= histories.offsets[user][:, None]
    return np.where(inside, _items(histories, np.where(inside, at, 0)), np.int32(PADDING))


def search(
    histories: Histories,
    item_vectors: Tensor,
    user: Ints,
    target: Ints,
    end: Int64s,
    *,
    k: int,
    max_history: int = 10_000,
) -> tuple[Int32s, NDArray[np.float32]]:
    """The k history events most similar to each target, by inner product, repeats included.

    Histories longer than max_history are cut to their latest max_history events. Equal similarities
    are ordered newest first. Samples are searched in batches of like history length, on the device of
    item_vectors.

    item_vectors  [items, d] float32
    user, target  [samples], indices of the user and of the item in question
    end           [samples] int64, from Histories.ends
    returns       items [samples, k] int32, most similar first, PADDING where the history is shorter;
                  similarities [samples, k] float32, 0 there
    source        QARM V2 (arXiv 2602.08559), section 4: inner product, not de-duplicated
    """
    lengths = np.minimum(histories.lengths(user, end), max_history)
    found = np.full((len(target), k), PADDING, dtype=np.int32)
    similarities = np.zeros((len(target), k), dtype=np.float32)
    for rows in _batches(lengths):
        back = np.arange(max(int(lengths[rows].max()), 1))
        inside = back < lengths[rows][:, None]
        history = _items(histories, np.where(inside, end[rows][:, None] - 1 - back, 0))
        padded = torch.from_numpy(np.where(inside, history, np.int32(PADDING))).to(item_vectors.device)
        targets = torch.as_tensor(target[rows], dtype=torch.int64, device=item_vectors.device)
        items, scores = top_k(item_vectors, padded, targets, k=k)
        found[rows, : items.shape[1]] = items.cpu().numpy()
        similarities[rows, : items.shape[1]] = scores.cpu().numpy()
    return found, similarities


def top_k(item_vectors: Tensor, history: Tensor, target: Tensor, *, k: int) -> tuple[Tensor, Tensor]:
    """The most similar events of one padded batch.

    item_vectors  [items, d] float32
    history       [batch, length] int, newest first, PADDING after the oldest
    target        [batch] int64
    returns       items [batch, min(k, length)] int32 and similarities, float32
    """
    padding = history == PADDING
    wanted, at = item_vectors[target], history.clamp(min=0).long()
    if len(item_vectors) < ITEMS_PER_EVENT * history.shape[1]:  # score all items, look the events up
        scores = (wanted @ item_vectors.T).gather(1, at)
    else:
        scores = torch.bmm(item_vectors[at], wanted.unsqueeze(2)).squeeze(2)
    scores.masked_fill_(padding, -torch.inf)  # at 0, padding would win over negative similarities
    first = _newest_first_keys(scores).topk(min(k, history.shape[1]), dim=1).indices
    items, best = history.gather(1, first), scores.gather(1, first)
    return items.int(), best.masked_fill(items == PADDING, 0.0)


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


def _items(histories: Histories, at: Int64s) -> Int32s:
    return histories.items[at] if len(histories.items) else np.full(at.shape, PADDING, dtype=np.int32)
