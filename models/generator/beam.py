"""The items that a generator finds most likely: a beam search over the codes of live items only.

After each level the beam keeps the best prefixes among those that lead to an item which the user may get. With a
beam as wide as the catalogue, it finds the same items as scoring all of them (`score_all`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.generator.excluded import DeadNodes, Ints, check_excluded, find_dead_nodes, split_users
from models.generator.scoring import CELLS_AT_ONCE, Step, ask, score_children, score_table
from models.generator.trie import Children, CodeTrie


@dataclass(frozen=True)
class Beams:
    """The best items of each user.

    items   [users, beam] int64, best first; -1 where there are no more
    scores  [users, beam] float32, the sum of the log-probabilities of an item's codes; -inf where there are no more
    """

    items: Tensor
    scores: Tensor


@dataclass(frozen=True)
class _Prefixes:
    """Prefixes [n] of some users, those of one user together and the best first.

    users, nodes  [n] int64
    scores        [n] float32
    codes         [n, depth] int64
    """

    users: Tensor
    nodes: Tensor
    scores: Tensor
    codes: Tensor


@dataclass(frozen=True)
class _Candidates:
    """What may follow some prefixes. Prefix p has the candidates [starts[p], starts[p + 1]).

    scores    [candidates] float32, of the whole path; -inf for a code without a child
    children  [candidates] integers, the child node; -1 for a code without a child
    starts    [prefixes + 1] int64
    """

    scores: Tensor
    children: Tensor
    starts: Tensor


@torch.no_grad()
def search(
    trie: CodeTrie, step: Step, *, users: int, beam: int, renormalise: bool, excluded: tuple[Ints, Ints] | None = None
) -> Beams:
    """The best items of each user. Memory grows with the beam times the codes of a level; users are split into chunks.

    step         see `Step`; its users are numbers from 0
    beam         how many prefixes stay after each level, and how many items come back
    renormalise  share the probability of a prefix among the codes that exist after it
    excluded     offsets [users + 1] and items [pairs]: user u must not get items[offsets[u]:offsets[u + 1]]. A prefix
                 that leads to no other items takes no place in the beam
    returns      items of equal score in the order of their index, and no item of score -inf
    raises       ValueError if a score is NaN or +inf, or the excluded items do not fit the users and items
    """
    if beam < 1:
        raise ValueError(f"beam must be at least 1, not {beam}")
    offsets, excluded_items = excluded or (np.zeros(users + 1, np.int64), np.zeros(0, np.int64))
    check_excluded(offsets, excluded_items, users=users, n_items=len(trie.leaf_of_item))
    device = trie.item_of_leaf.device
    items = torch.full((users, beam), -1, dtype=torch.int64, device=device)
    scores = torch.full((users, beam), -torch.inf, device=device)
    if not len(trie.item_of_leaf):
        return Beams(items, scores)
    users_at_once = max(1, CELLS_AT_ONCE // (min(beam, len(trie.item_of_leaf)) * max(trie.sizes)))
    for first, last in split_users(offsets, users_at_once=users_at_once, pairs_at_once=CELLS_AT_ONCE):
        excluded_users = np.repeat(np.arange(last - first), np.diff(offsets[first : last + 1]))
        pairs = excluded_users, excluded_items[offsets[first] : offsets[last]]
        dead_nodes = find_dead_nodes(trie, *(torch.from_numpy(part.astype(np.int64)).to(device) for part in pairs))
        leaves = _search_chunk(trie, step, torch.arange(first, last, device=device), beam, renormalise, dead_nodes)
        places = first + leaves.users, _rank_within(leaves.users)
        items[places], scores[places] = trie.item_of_leaf[leaves.nodes], leaves.scores
    return Beams(items, scores)


def _search_chunk(
    trie: CodeTrie, step: Step, users: Tensor, beam: int, renormalise: bool, dead_nodes: list[DeadNodes]
) -> _Prefixes:
    """The best leaves of users [users], which are numbered from 0 in the result and in the dead nodes."""
    numbers = torch.arange(len(users), device=users.device)
    root = torch.zeros_like(numbers)
    prefixes = _Prefixes(numbers, root, root.float(), users.new_empty(len(users), 0))
    for level, (children, dead) in enumerate(zip(trie.children, dead_nodes, strict=True)):
        if len(prefixes.users):
            logits = ask(step, level, users[prefixes.users], prefixes.codes, children.size)
            candidates = _expand(children, prefixes, logits, renormalise)
            _exclude(candidates, prefixes, children, dead)
            prefixes = _keep_best(trie, level, candidates, prefixes, len(users), beam)
    return prefixes


def _expand(children: Children, prefixes: _Prefixes, logits: Tensor, renormalise: bool) -> _Candidates:
    """The candidates after each prefix: all codes of the level if it has a table, else the codes that exist."""
    if children.table is not None:
        nodes = children.table[prefixes.nodes]
        scores = score_table(nodes, logits, renormalise).add_(prefixes.scores.unsqueeze(1))
        starts = torch.arange(len(nodes) + 1, device=nodes.device) * children.size
        return _Candidates(scores.flatten(), nodes.flatten(), starts)
    rows, nodes = children.list_children(prefixes.nodes)
    scores = score_children(children, logits, rows, nodes, renormalise).add_(prefixes.scores[rows])
    return _Candidates(scores, nodes, torch.searchsorted(rows, torch.arange(len(logits) + 1, device=rows.device)))


def _exclude(candidates: _Candidates, prefixes: _Prefixes, children: Children, dead: DeadNodes) -> None:
    """Give the candidates that are dead the score -inf."""
    if not len(dead.nodes):
        return
    n_nodes = len(children.offsets) - 1
    keys, order = (prefixes.users * n_nodes + prefixes.nodes).sort()
    dead_keys = dead.users * n_nodes + dead.parents
    places = torch.searchsorted(keys, dead_keys).clamp(max=len(keys) - 1)
    is_reached = keys[places] == dead_keys
    nodes, parents = dead.nodes[is_reached], dead.parents[is_reached]
    within = nodes - children.offsets[parents] if children.table is None else children.codes[nodes]
    candidates.scores[candidates.starts[order[places[is_reached]]] + within] = -torch.inf


def _keep_best(
    trie: CodeTrie, level: int, candidates: _Candidates, prefixes: _Prefixes, n_users: int, beam: int
) -> _Prefixes:
    """The best candidates of each user as prefixes. Of equal scores, the first node or, at the end, item wins."""
    users = torch.arange(n_users + 1, device=prefixes.users.device)
    starts = candidates.starts[torch.searchsorted(prefixes.users, users)]
    scores = _split_by_user(candidates.scores, starts)
    worst = scores.topk(min(beam, scores.shape[1])).values[:, -1:].clamp(min=torch.finfo(torch.float32).min)
    users, places = (scores >= worst).nonzero(as_tuple=True)  # more than the beam where scores are equal
    chosen = starts[users] + places
    nodes = candidates.children[chosen].long()
    is_last = level + 1 == trie.levels
    order = (trie.item_of_leaf[nodes] if is_last else nodes).argsort()
    order = order[candidates.scores[chosen[order]].argsort(descending=True, stable=True)]
    order = order[users[order].argsort(stable=True)]
    order = order[_rank_within(users) < beam]
    chosen, nodes = chosen[order], nodes[order]
    rows = torch.searchsorted(candidates.starts, chosen, right=True) - 1
    codes = torch.cat([prefixes.codes[rows], trie.children[level].codes[nodes].long().unsqueeze(1)], 1)
    return _Prefixes(users[order], nodes, candidates.scores[chosen], codes)


def _split_by_user(scores: Tensor, starts: Tensor) -> Tensor:
    """Scores [users, most scores of a user] from those of all users in turn, filled up with -inf."""
    counts = starts.diff()
    width = int(counts.max())
    if width * len(counts) == len(scores):
        return scores.view(len(counts), width)
    padded = scores.new_full((len(counts), width), -torch.inf)
    return padded.masked_scatter_(torch.arange(width, device=scores.device) < counts.unsqueeze(1), scores)


def _rank_within(users: Tensor) -> Tensor:
    """For each place [n] of ascending users [n], how many places of the same user come before it."""
    return torch.arange(len(users), device=users.device) - torch.searchsorted(users, users)
