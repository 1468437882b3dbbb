"""The scores of the codes after a prefix, and of all items by walking the whole trie."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.generator.trie import Children, CodeTrie

Step = Callable[[int, Tensor, Tensor], Tensor]
"""step(level, users [n], prefixes [n, level]) -> [n, codes]: how likely each code is for a user after a prefix.

These are log-probabilities; if the caller asks to renormalise, logits will do. Codes beyond `sizes[level]` are ignored.
"""
CELLS_AT_ONCE = 2**24  # scores of one level's codes in memory at once: 64 MiB, and a few times that around them


@torch.no_grad()
def score_all(trie: CodeTrie, step: Step, *, users: int, renormalise: bool) -> Tensor:
    """The score of every item for every user, by brute force: for small catalogues, and to test the beam with.

    step, renormalise  as in `search`
    returns            [users, items] float32, the sum of the log-probabilities of an item's codes; -inf for an item
                       that is not in the trie
    raises             ValueError if a score is NaN or +inf
    """
    device = trie.item_of_leaf.device
    scores = torch.full((users, len(trie.leaf_of_item)), -torch.inf, device=device)
    users_at_once = max(1, CELLS_AT_ONCE // max(1, len(trie.item_of_leaf), *trie.sizes))
    for chunk in torch.split(torch.arange(users, device=device), users_at_once) if len(trie.item_of_leaf) else ():
        node_scores, codes = torch.zeros(len(chunk), 1, device=device), chunk.new_empty(1, 0)
        for level, children in enumerate(trie.children):
            node_scores = _score_children(children, step, level, chunk, node_scores, codes, renormalise)
            codes = torch.cat([codes[children.parents], children.codes.long().unsqueeze(1)], 1)
        scores[chunk[:, None], trie.item_of_leaf] = node_scores
    return scores


def _score_children(
    children: Children, step: Step, level: int, users: Tensor, scores: Tensor, codes: Tensor, renormalise: bool
) -> Tensor:
    """Scores [users, children] of the next depth from scores [users, nodes] and codes [nodes, depth]."""
    parts = []
    nodes_at_once = max(1, CELLS_AT_ONCE // (len(users) * children.size))
    for nodes in torch.split(torch.arange(scores.shape[1], device=users.device), nodes_at_once):
        pair_nodes = nodes.repeat(len(users))
        logits = ask(step, level, users.repeat_interleave(len(nodes)), codes[pair_nodes], children.size)
        rows, pair_children = children.list_children(pair_nodes)
        added = score_children(children, logits, rows, pair_children, renormalise)
        parts.append((scores[:, nodes].flatten()[rows] + added).view(len(users), -1))
    return torch.cat(parts, 1)


def ask(step: Step, level: int, users: Tensor, prefixes: Tensor, size: int) -> Tensor:
    """What the step says of the codes [n, size] of a level, as float32.

    raises  ValueError if a score is NaN or +inf, or the shape is wrong
    """
    logits = step(level, users, prefixes)
    if logits.dim() != 2 or len(logits) != len(users) or logits.shape[1] < size:
        raise ValueError(f"level {level}: scores must be [{len(users)}, {size} or more], not {list(logits.shape)}")
    logits = logits[:, :size].float()
    if not bool(logits.amax() < torch.inf):  # also catches NaN, which amax hands on
        raise ValueError(f"level {level}: a score is NaN or +inf")
    return logits


def score_children(children: Children, logits: Tensor, rows: Tensor, nodes: Tensor, renormalise: bool) -> Tensor:
    """The log-probabilities [pairs] of child nodes [pairs] from logits [n, codes]; rows [pairs] of these ascend."""
    scores = logits[rows, children.codes[nodes]]
    if not renormalise:
        return scores
    counts = torch.bincount(rows, minlength=len(logits))
    highest = torch.segment_reduce(scores, "max", lengths=counts).clamp(min=torch.finfo(torch.float32).min)
    totals = torch.segment_reduce((scores - highest[rows]).exp(), "sum", lengths=counts)
    return scores - (totals.log() + highest).clamp(min=torch.finfo(torch.float32).min)[rows]


def score_table(nodes: Tensor, logits: Tensor, renormalise: bool) -> Tensor:
    """The log-probabilities [n, codes] of codes that lead to nodes [n, codes]; -inf where a node is -1."""
    scores = logits.masked_fill(nodes < 0, -torch.inf)
    if not renormalise:
        return scores
    is_impossible = scores.amax(1) == -torch.inf  # no child has a probability: the softmax would be NaN
    return scores.log_softmax(1).index_fill_(0, is_impossible.nonzero().squeeze(1), -torch.inf)
