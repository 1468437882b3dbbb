"""The loss of a batch of sequences: what the states should have predicted."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.generator.batches import Batch
from models.generator.heads import sampled_softmax
from models.generator.model import Generator
from models.generator.queries import Queries
from models.generator.states import States
from models.generator.trie import CodeTrie


@dataclass(frozen=True)
class Targets:
    """What the states of a batch should predict. A pair is a state and one of the items after it.

    rows, columns  [positions] int64, the states: those of one row together, columns ascending
    positions      [pairs] int64, the state of each pair, ascending
    items          [pairs] int64
    weights        [pairs] float32
    """

    rows: Tensor
    columns: Tensor
    positions: Tensor
    items: Tensor
    weights: Tensor


def find_targets(batch: Batch, window_weights: tuple[float, ...], device: torch.device) -> Targets:
    """The next items of every state. window_weights: how much each of the next items counts, the nearest first"""
    width = batch.items.shape[1] + 1
    pairs = [batch.pairs(distance) for distance in range(len(window_weights))]
    rows, columns, _ = pairs[0]
    keys = [pair_rows * width + pair_columns for pair_rows, pair_columns, _ in pairs]
    positions = np.searchsorted(keys[0], np.concatenate(keys))
    order = np.argsort(positions, kind="stable")
    weights = np.repeat(np.asarray(window_weights, np.float32), [len(key) for key in keys])
    items = np.concatenate([pair_items for _, _, pair_items in pairs])
    arrays = rows, columns, positions[order], items[order], weights[order]
    return Targets(*(torch.from_numpy(array).to(device) for array in arrays))


def total_weight(batch: Batch, window_weights: tuple[float, ...]) -> float:
    """The sum of the weights of all pairs of a batch."""
    return sum(weight * len(batch.pairs(distance)[0]) for distance, weight in enumerate(window_weights))


@dataclass(frozen=True)
class _Negatives:
    """What the head `items` compares the next items with.

    items    [negatives] int64, different items, ascending
    vectors  [negatives, dim]
    """

    items: Tensor
    vectors: Tensor


def compute_loss(
    model: Generator,
    batch: Batch,
    negatives: Tensor,
    trie: CodeTrie | None,
    queries: Queries | None = None,
) -> Tensor:
    """The sum over pairs of weight times cross-entropy, and over the heads of the model.

    negatives  [negatives] int64, different items, ascending
    trie       of the items' codes, for the head `codes`
    queries    each is a pair of weight 1: a history of the query alone, and the item that it asks for
    """
    device = model.device
    targets = find_targets(batch, model.design.window_weights, device)
    inputs = torch.from_numpy(batch.inputs).to(device)
    if queries is not None:
        targets = _add_queries(targets, queries, sequences=len(inputs))
    parts = [inputs.flatten(), targets.items, negatives]
    if "items" not in model.design.heads:
        parts = [inputs.flatten(), *(part[:0] for part in parts[1:])]
    distinct, places = torch.unique(torch.cat(parts), return_inverse=True)  # few items, each many times
    vectors: Tensor = model.items(distinct)
    input_places, *other_places = places.split([len(part) for part in parts])
    target_vectors, negative_vectors = (F.embedding(part, vectors) for part in other_places)
    if not len(targets.items):
        return vectors.sum() * 0
    history = model.backbone(F.embedding(input_places.view(inputs.shape), vectors))
    if queries is not None:
        query_vectors = model.items.embed_queries(queries.words, queries.text)
        history = _stack(history, model.backbone(query_vectors.unsqueeze(1)))
    return _head_loss(model, trie, history, targets, target_vectors, _Negatives(negatives, negative_vectors))


def _add_queries(targets: Targets, queries: Queries, sequences: int) -> Targets:
    """The targets, and those of the queries, which are sequences behind the others. Their state is in column 1."""
    rows = torch.arange(len(queries), device=queries.items.device)
    parts = (
        (targets.rows, sequences + rows),
        (targets.columns, torch.ones_like(rows)),
        (targets.positions, len(targets.rows) + rows),
        (targets.items, queries.items),
        (targets.weights, torch.ones_like(rows, dtype=torch.float32)),
    )
    return Targets(*map(torch.cat, parts))


def _stack(*histories: Tensor) -> Tensor:
    """Histories [sequences, columns, dim] of different widths as one tensor: zeros fill up the narrow ones."""
    width = max(history.shape[1] for history in histories)
    return torch.cat([F.pad(history, (0, 0, 0, width - history.shape[1])) for history in histories])


def _head_loss(
    model: Generator,
    trie: CodeTrie | None,
    history: Tensor,
    targets: Targets,
    target_vectors: Tensor,
    negatives: _Negatives,
) -> Tensor:
    """The loss of all heads for the states of histories [sequences, columns, dim].

    target_vectors  [pairs, dim], for the head `items`
    """
    last = history[targets.rows, targets.columns]
    losses = []
    if "items" in model.design.heads:
        places = _find_places(targets.items, negatives.items)
        loss = sampled_softmax(last, negatives.vectors, target_vectors, targets.positions, places)
        losses.append(loss @ targets.weights)
    if trie is not None and model.decoder is not None:
        is_encoder_decoder = model.design.backbone == "encoder_decoder"
        states = States(last, history if is_encoder_decoder else None, targets.rows, targets.columns + 1)
        losses.append(_code_loss(model, trie, states, targets))
    if model.parallel is not None:
        losses.append(_parallel_loss(model, last, targets))
    return torch.stack(losses).sum()


def _find_places(items: Tensor, negatives: Tensor) -> Tensor:
    """The place of each item [pairs] among the negatives, -1 if it is not there."""
    places = torch.searchsorted(negatives, items).clamp(max=len(negatives) - 1)
    return torch.where(negatives[places] == items, places, -1)


def _code_loss(model: Generator, trie: CodeTrie, states: States, targets: Targets) -> Tensor:
    """Cross-entropy of each code among those that exist after the codes before it, summed over the levels."""
    has_codes = trie.leaf_of_item[targets.items] >= 0
    states, weights = states.take(targets.positions[has_codes]), targets.weights[has_codes]
    items = targets.items[has_codes]
    codes, nodes = model.items.codes[items], trie.paths(items)
    loss = weights.new_zeros(())
    for level in range(trie.levels):
        decoded = model.decode(level, states, codes[:, :level])
        table = model.items.code_tables()[level]
        loss = loss + _sibling_loss(trie, level, nodes[:, level], decoded, table, codes[:, level]) @ weights
    return loss


def _sibling_loss(trie: CodeTrie, level: int, nodes: Tensor, decoded: Tensor, table: Tensor, codes: Tensor) -> Tensor:
    """Cross-entropy [n] of codes [n] among the children of nodes [n].

    decoded  [n, dim], and table [codes, dim]: their products are the logits
    """
    children = trie.children[level]
    if children.table is not None:
        logits = (decoded @ table[: children.size].T).float().masked_fill(children.table[nodes] < 0, -torch.inf)
        return F.cross_entropy(logits, codes, reduction="none")
    rows, nodes = children.list_children(nodes)  # few of the level's codes exist after a prefix
    # Gradients of `table[codes]` depend on how threads interleave, those of F.embedding do not.
    logits = (F.embedding(rows, decoded) * F.embedding(children.codes[nodes], table)).sum(dim=1).float()
    highest = logits.new_zeros(len(codes)).scatter_reduce(0, rows, logits.detach(), "amax", include_self=False)
    totals = logits.new_zeros(len(codes)).index_add(0, rows, (logits - highest[rows]).exp())
    return totals.log() + highest - (decoded * F.embedding(codes, table)).sum(dim=1).float()


def _parallel_loss(model: Generator, states: Tensor, targets: Targets) -> Tensor:
    """The mean over the levels of the cross-entropy of the code, summed over the pairs."""
    assert model.parallel is not None
    has_codes = (model.items.codes[targets.items] < model.items.codes[-1]).all(dim=1)
    positions, codes = targets.positions[has_codes], model.items.codes[targets.items[has_codes]]
    levels = model.parallel(states, model.items.code_tables())
    losses = [-level[positions, level_codes] for level, level_codes in zip(levels, codes.unbind(1), strict=True)]
    return torch.stack(losses).mean(dim=0) @ targets.weights[has_codes]
