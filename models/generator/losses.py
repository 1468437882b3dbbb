"""The loss of a batch of sequences: what the states should have predicted."""

from dataclasses import dataclass

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
    """States of a batch, and the item that each should predict.

    rows, columns  [states] int64, those of one row together, columns ascending
    items          [states] int64
    """

    rows: Tensor
    columns: Tensor
    items: Tensor


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
    """The sum of the cross-entropies of all next items, by all heads of the model.

    negatives  [negatives] int64, different items, ascending
    trie       of the items' codes, for the head `codes`
    queries    each is a history of the query alone; the item that it asks for comes next
    """
    device = model.device
    targets = Targets(*(torch.from_numpy(part).to(device) for part in batch.next_items()))
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
    return Targets(
        torch.cat([targets.rows, sequences + rows]),
        torch.cat([targets.columns, torch.ones_like(rows)]),
        torch.cat([targets.items, queries.items]),
    )


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

    target_vectors  [states, dim], for the head `items`
    """
    last = history[targets.rows, targets.columns]
    losses = []
    if "items" in model.design.heads:
        places = _find_places(targets.items, negatives.items)
        losses.append(sampled_softmax(last, negatives.vectors, target_vectors, places).sum())
    if trie is not None and model.decoder is not None:
        is_encoder_decoder = model.design.backbone == "encoder_decoder"
        states = States(last, history if is_encoder_decoder else None, targets.rows, targets.columns + 1)
        losses.append(_code_loss(model, trie, states, targets))
    if model.parallel is not None:
        losses.append(_parallel_loss(model, last, targets))
    return torch.stack(losses).sum()


def _find_places(items: Tensor, negatives: Tensor) -> Tensor:
    """The place of each item [states] among the negatives, -1 if it is not there."""
    places = torch.searchsorted(negatives, items).clamp(max=len(negatives) - 1)
    return torch.where(negatives[places] == items, places, -1)


def _code_loss(model: Generator, trie: CodeTrie, states: States, targets: Targets) -> Tensor:
    """Cross-entropy of each code among those that exist after the codes before it, summed over the levels."""
    places = (trie.leaf_of_item[targets.items] >= 0).nonzero().squeeze(1)
    states, items = states.take(places), targets.items[places]
    codes, nodes = model.items.codes[items], trie.paths(items)
    loss = states.last.new_zeros((), dtype=torch.float32)
    for level in range(trie.levels):
        decoded = model.decode(level, states, codes[:, :level])
        table = model.items.code_tables()[level]
        loss = loss + _sibling_loss(trie, level, nodes[:, level], decoded, table, codes[:, level]).sum()
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
    """The mean over the levels of the cross-entropy of the code, summed over the states."""
    assert model.parallel is not None
    has_codes = (model.items.codes[targets.items] < model.items.codes[-1]).all(dim=1)
    codes = model.items.codes[targets.items[has_codes]]
    levels = model.parallel(states[has_codes], model.items.code_tables())
    losses = [
        F.nll_loss(level, level_codes, reduction="sum")
        for level, level_codes in zip(levels, codes.unbind(1), strict=True)
    ]
    return torch.stack(losses).mean()
