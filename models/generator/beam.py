"""The items that a generator finds most likely: a beam search over the codes of live items only.

After each level the beam keeps the best prefixes among those that lead to an item which the user may get. With a
beam as wide as the catalogue, it finds the same items as scoring all of them (`score_all`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.generator.excluded import DeadNodes, Ints, check_excluded, find_dead_nodes, split_users
from models.generator.scoring import CELLS_AT_ONCE, Step, ask, normalise_table, score_children
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
        ranks = torch.arange(len(leaves.users), device=device) - torch.searchsorted(leaves.users, leaves.users)
        items[first + leaves.users, ranks] = trie.item_of_leaf[leaves.nodes]
        scores[first + leaves.users, ranks] = leaves.scores
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
            is_last = level + 1 == trie.levels
            order = trie.item_of_leaf[candidates.children] if is_last else candidates.children
            prefixes = _keep_best(candidates, prefixes, children, order, len(users), beam)
    return prefixes


def _expand(children: Children, prefixes: _Prefixes, logits: Tensor, renormalise: bool) -> _Candidates:
    """The candidates after each prefix: all codes of the level if it has a table, else the codes that exist."""
    if children.table is not None:
        nodes = children.table[prefixes.nodes]
        scores = logits.masked_fill(nodes < 0, -torch.inf)
        if renormalise:
            scores = normalise_table(scores)
        scores = scores + prefixes.scores.unsqueeze(1)
        starts = torch.arange(len(nodes) + 1, device=nodes.device) * children.size
        return _Candidates(scores.flatten(), nodes.flatten(), starts)
    rows, nodes = children.list_children(prefixes.nodes)
    scores = prefixes.scores[rows] + score_children(children, logits, rows, nodes, renormalise)
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
    candidates: _Candidates, prefixes: _Prefixes, children: Children, order: Tensor, n_users: int, beam: int
) -> _Prefixes:
    """The best candidates of each user as prefixes. Of equal scores, the lowest in `order` [candidates] wins."""
    bits = (candidates.scores + 0.0).view(torch.int32)  # + 0.0: there is one zero only
    keys = ((bits ^ ((bits >> 31) & 0x7FFFFFFF)).long() << 32) - order  # all different, in the order of the scores
    users = torch.arange(n_users + 1, device=order.device)
    starts = candidates.starts[torch.searchsorted(prefixes.users, users)]
    counts = starts.diff()
    width = int(counts.max())
    padded = keys.new_full((n_users, width), torch.iinfo(torch.int64).min)
    padded.masked_scatter_(torch.arange(width, device=order.device) < counts.unsqueeze(1), keys)
    best, places = padded.topk(min(beam, width))
    rank_is_used = best > torch.iinfo(torch.int64).min
    chosen = (starts[:-1].unsqueeze(1) + places)[rank_is_used]
    chosen = chosen[candidates.scores[chosen] > -torch.inf]
    rows = torch.searchsorted(candidates.starts, chosen, right=True) - 1
    nodes = candidates.children[chosen].long()
    codes = torch.cat([prefixes.codes[rows], children.codes[nodes].long().unsqueeze(1)], 1)
    return _Prefixes(prefixes.users[rows], nodes, candidates.scores[chosen], codes)
