"""The fused list: what the generator and the item graph find, ranked by weights that are learned on held-out events.

bench/generate.py measures it. The daily run joins ranks instead (jobs/ranking/lists.py): that needs no held-out events.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.generator.graph import Floats, ItemGraph
from models.generator.model import Generator
from models.generator.recommend import find_best_codes, score_candidates, seen_items
from models.generator.trie import CodeTrie
from models.ranker.histories import Histories, Int64s

FOUND = 100  # items that each source may add to the candidates of a user
BEAM = 128
L2 = 1e-3  # of the weights, so that a feature that says nothing gets none


@dataclass(frozen=True)
class Fusion:
    """Ranks the candidates of a user by a weighted sum of what three features say of them.

    The features: the score of the generator's head `items`, the walk on the item graph, and the likeness of the item's
    words to those of the user's latest items.

    model, trie  of the heads `codes` and `items`
    walks        an item graph that does not look at contents
    contents     an item graph of the same items that looks at their words: it finds candidates
    weights      [3] float32
    """

    model: Generator
    trie: CodeTrie
    walks: ItemGraph
    contents: ItemGraph
    weights: Tensor

    @classmethod
    def learn(
        cls,
        model: Generator,
        trie: CodeTrie,
        contents: ItemGraph,
        histories: Histories,
        users: Int64s,
        ends: Int64s,
        targets: Int64s,
    ) -> "Fusion":
        """Learn the weights from the next items `targets` [rows] of users whose histories end at `ends` [rows].

        The weights maximise the probability of the next item among a user's candidates. Rows whose next item no source
        found are left out; without any other row all features weigh the same.
        """
        fusion = cls(model, trie, replace(contents, vectors=None), contents, torch.ones(3))
        candidates, features = fusion.describe(histories, users, ends)
        is_target = torch.from_numpy(candidates == targets[:, None])
        rows = is_target.any(dim=1).nonzero().squeeze(1)
        if not len(rows):
            return fusion
        is_known = torch.from_numpy(candidates >= 0)[rows]
        weights = learn_weights(features[rows], is_known, is_target[rows].int().argmax(dim=1))
        return replace(fusion, weights=weights)

    def describe(self, histories: Histories, users: Int64s, ends: Int64s) -> tuple[Int64s, Tensor]:
        """The candidates [rows, 2 * FOUND] of users, filled up with -1, and their features [rows, 2 * FOUND, 3]."""
        states, seen = self.model.encode(histories, users, ends), seen_items(histories, users, ends)
        best = find_best_codes(self.model, states, self.trie, k=FOUND, beam=BEAM, excluded=seen)
        by_graph, _ = self.contents.top_items(histories, users, ends, FOUND)
        candidates = np.sort(np.concatenate([best.items.cpu().numpy(), by_graph], axis=1), axis=1)
        candidates[:, 1:][candidates[:, 1:] == candidates[:, :-1]] = -1  # both found it
        items = torch.from_numpy(candidates).to(states.last.device)
        by_model = score_candidates(self.model, states, items).cpu()
        walk, both = (
            graph.score_candidates(histories, users, ends, candidates) for graph in (self.walks, self.contents)
        )
        return candidates, torch.stack([by_model, torch.from_numpy(walk), torch.from_numpy(both - walk)], dim=2)

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
