"""The fused list: generator, item graph and popular items, ranked by weights that are learned on held-out events.

bench/generate.py measures it. The daily run joins ranks instead (jobs/ranking/lists.py): its lists are also ordered by
the ranker, which these weights do not know.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.generator.graph import Floats, ItemGraph
from models.generator.model import Generator
from models.generator.recommend import find_best_codes, score_candidates
from models.generator.seen import seen_items
from models.generator.trie import CodeTrie
from models.ranker.histories import Histories, Int64s, Ints

FOUND = 100  # items that each source may add to the candidates of a user
BEAM = 128
L2 = 1e-3  # of the weights, so that a feature that says nothing gets none


@dataclass(frozen=True)
class Fusion:
    """Ranks the candidates of a user by a weighted sum of what four features say of them.

    The features: the score of the generator's head `items`, the square root of the walk on the item graph, that of the
    likeness of the item's words to those of the user's latest items, and the logarithm of the item's number of events.
    The roots are there because walk and likeness are near 0 for nearly all candidates, and high for few. Where users
    choose many items each, such as films that they have seen, popular items are hard to beat; elsewhere they weigh
    little.

    model, trie  of the heads `codes` and `items`
    walks        an item graph that does not look at contents
    contents     an item graph of the same items that looks at their words: it finds candidates
    counts       [items] events of each item in training
    weights      [4] float32
    """

    model: Generator
    trie: CodeTrie
    walks: ItemGraph
    contents: ItemGraph
    counts: Int64s
    weights: Tensor

    @classmethod
    def learn(
        cls,
        model: Generator,
        trie: CodeTrie,
        contents: ItemGraph,
        counts: Int64s,
        histories: Histories,
        users: Int64s,
        ends: Int64s,
        targets: Int64s,
    ) -> "Fusion":
        """Learn the weights from the next items `targets` [rows] of users whose histories end at `ends` [rows].

        The weights maximise the probability of the next item among a user's candidates. Rows whose next item no source
        found are left out; without any other row all features weigh the same.
        """
        fusion = cls(model, trie, replace(contents, vectors=None), contents, counts, torch.ones(4))
        candidates, features = fusion.describe(histories, users, ends)
        is_target = torch.from_numpy(candidates == targets[:, None])
        rows = is_target.any(dim=1).nonzero().squeeze(1)
        if not len(rows):
            return fusion
        is_known = torch.from_numpy(candidates >= 0)[rows]
        weights = learn_weights(features[rows], is_known, is_target[rows].int().argmax(dim=1))
        return replace(fusion, weights=weights)

    def describe(self, histories: Histories, users: Int64s, ends: Int64s) -> tuple[Int64s, Tensor]:
        """The candidates [rows, 3 * FOUND] of users, filled up with -1, and their features [rows, 3 * FOUND, 4]."""
        states, seen = self.model.encode(histories, users, ends), seen_items(histories, users, ends)
        best = find_best_codes(self.model, states, self.trie, k=FOUND, beam=BEAM, excluded=seen)
        by_graph, _ = self.contents.top_items(histories, users, ends, FOUND)
        popular = list_popular(self.counts, *seen)
        candidates = np.sort(np.concatenate([best.items.cpu().numpy(), by_graph, popular], axis=1), axis=1)
        candidates[:, 1:][candidates[:, 1:] == candidates[:, :-1]] = -1  # several sources found it
        items = torch.from_numpy(candidates).to(states.last.device)
        by_model = score_candidates(self.model, states, items).cpu()
        walk, both = (
            graph.score_candidates(histories, users, ends, candidates) for graph in (self.walks, self.contents)
        )
        popularity = np.log1p(self.counts[np.maximum(candidates, 0)]).astype(np.float32)
        roots = (np.sqrt(np.maximum(feature, 0)) for feature in (walk, both - walk))
        others = [torch.from_numpy(feature) for feature in (*roots, popularity)]
        return candidates, torch.stack([by_model, *others], dim=2)

    def top_items(self, histories: Histories, users: Int64s, ends: Int64s, k: int) -> tuple[Int64s, Floats]:
        """The best k items of each row that the user has not seen, and their scores.

        returns  items [rows, k] int64, best first, filled up with -1; scores [rows, k] float32, filled up with -inf
        """
        candidates, features = self.describe(histories, users, ends)
        scores = (features @ self.weights).numpy()
        scores[candidates < 0] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # candidates ascend: of equal ones the first wins
        items: NDArray[np.int64] = np.take_along_axis(candidates, order, axis=1)
        return items, np.take_along_axis(scores, order, axis=1)


def list_popular(counts: Int64s, offsets: Ints, seen: Ints) -> Int64s:
    """The FOUND items [rows, FOUND] with the most events that each row's user has not seen, filled up with -1.

    counts         [items] events
    offsets, seen  row r has seen the items seen[offsets[r]:offsets[r + 1]]
    """
    lengths = np.diff(offsets)
    order = np.argsort(-counts, kind="stable")[: FOUND + int(lengths.max(initial=0))]
    places = np.full(len(counts), len(order))
    places[order] = np.arange(len(order))
    is_seen = np.zeros((len(lengths), len(order) + 1), bool)
    is_seen[np.repeat(np.arange(len(lengths)), lengths), places[seen]] = True
    first = np.argsort(is_seen[:, :-1], axis=1, kind="stable")[:, :FOUND]
    popular = np.full((len(lengths), FOUND), -1)
    popular[:, : first.shape[1]] = np.where(np.take_along_axis(is_seen, first, axis=1), -1, order[first])
    return popular


def learn_weights(features: Tensor, is_candidate: Tensor, targets: Tensor) -> Tensor:
    """Weights [features] float32 with which a softmax over a row's candidates gives its target the most probability.

    features      [rows, candidates, features]
    is_candidate  [rows, candidates] bool
    targets       [rows] int64, a place among the candidates
    """
    values = features[is_candidate]
    scale = values.std(dim=0).clamp(min=1e-9)
    weights = torch.zeros(features.shape[2], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def compute_loss() -> Tensor:
        optimizer.zero_grad()
        scores = (features @ (weights / scale)).masked_fill(~is_candidate, -torch.inf)
        loss = F.cross_entropy(scores, targets) + L2 * weights.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(compute_loss)  # type: ignore[no-untyped-call]  # torch gives it no types
    return (weights / scale).detach()
