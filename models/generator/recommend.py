"""The best items of each user, by either kind of head."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.generator.beam import Beams, search
from models.generator.excluded import Ints, check_excluded, split_users
from models.generator.model import Generator
from models.generator.states import States
from models.generator.trie import CodeTrie

# offsets [users + 1] and items [pairs]: user u must not get items[offsets[u]:offsets[u + 1]]
Excluded = tuple[Ints, Ints]
SCORES_AT_ONCE = 2**26  # in memory: 256 MiB


def find_best_items(
    model: Generator, states: States, k: int, excluded: Excluded | None = None, is_allowed: Tensor | None = None
) -> Beams:
    """The k items of each user with the best scores of all, by the head `items` or `parallel`.

    Memory is bounded: users are scored in chunks.
    is_allowed  [items] bool: the other items are in no list; by default all are allowed
    raises      ValueError if the model has neither head, or the excluded items do not fit
    """
    n_users, device = len(states), states.last.device
    offsets, excluded_items = excluded or (np.zeros(n_users + 1, np.int64), np.zeros(0, np.int64))
    check_excluded(offsets, excluded_items, users=n_users, n_items=model.n_items)
    score_items = model.item_scorer()
    items = torch.full((n_users, k), -1, dtype=torch.int64, device=device)
    scores = torch.full((n_users, k), -torch.inf, device=device)
    users_at_once = max(1, SCORES_AT_ONCE // max(model.n_items, 1))
    for first, last in split_users(offsets, users_at_once=users_at_once, pairs_at_once=SCORES_AT_ONCE):
        chunk = score_items(states.take(torch.arange(first, last, device=device)))
        rows = np.repeat(np.arange(last - first), np.diff(offsets[first : last + 1]))
        places = excluded_items[offsets[first] : offsets[last]]
        chunk[torch.from_numpy(rows).to(device), torch.from_numpy(places.astype(np.int64)).to(device)] = -torch.inf
        if is_allowed is not None:
            chunk.masked_fill_(~is_allowed, -torch.inf)
        best = chunk.topk(min(k, model.n_items), dim=1)
        scores[first:last, : best.values.shape[1]] = best.values
        items[first:last, : best.values.shape[1]] = torch.where(best.values > -torch.inf, best.indices, -1)
    return Beams(items, scores)


def find_best_codes(
    model: Generator, states: States, trie: CodeTrie, *, k: int, beam: int, excluded: Excluded | None = None
) -> Beams:
    """The k best items of each user by a beam over their codes, by the head `codes`.

    With a head `items`, the items of the beam are ranked by both heads: the log-probability of their codes plus
    `item_weight` times their score (as in BARGE, arXiv 2607.21028). That costs the same for any number of items.

    beam  how many items are found, at least k
    """
    beams = search(trie, model.step(states), users=len(states), beam=beam, renormalise=True, excluded=excluded)
    if "items" in model.design.heads:
        beams = _rank_again(model, states, beams)
    return Beams(beams.items[:, :k], beams.scores[:, :k])


def _rank_again(model: Generator, states: States, beams: Beams) -> Beams:
    """Add the scores of the head `items` to those of beams. Of equal scores, the first item wins."""
    items, by_item = beams.items.sort(dim=1, stable=True)
    scores = beams.scores.gather(1, by_item) + model.design.item_weight * score_candidates(model, states, items)
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    return Beams(items.gather(1, order), scores)


@torch.no_grad()
def score_candidates(model: Generator, states: States, items: Tensor) -> Tensor:
    """The scores [n, candidates] float32 of n states for items [n, candidates] of their own, by the head `items`.

    An item of -1 gets a score that means nothing. Memory is bounded: states are scored in chunks.
    """
    scores = torch.empty(items.shape, device=items.device)
    states_at_once = max(1, SCORES_AT_ONCE // max(1, items.shape[1] * model.design.dim))
    for rows in torch.split(torch.arange(len(items), device=items.device), states_at_once):
        distinct, places = torch.unique(items[rows], return_inverse=True)
        vectors = F.embedding(places, model.items(distinct))
        scores[rows] = torch.einsum("nd,ncd->nc", states.last[rows], vectors)
    return scores


def build_trie(model: Generator, is_allowed: Tensor | None = None) -> CodeTrie:
    """The trie of all items that have codes.

    is_allowed  [items] bool: the other items are left out; by default all are allowed
    raises      ValueError if two items have the same codes
    """
    codes = model.items.codes_of(torch.arange(model.n_items, device=model.device))
    return CodeTrie.build(codes if is_allowed is None else codes.masked_fill(~is_allowed.unsqueeze(1), -1))
