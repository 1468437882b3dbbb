"""The fused list: items of generator, item graph and popularity, ranked by a small network that held-out events train.

bench/generate.py measures it. The daily run joins ranks instead (jobs/ranking/lists.py): its lists are also ordered by
the ranker, which this network does not know.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.candidates import OFFSET
from models.generator.graph import Floats, ItemGraph
from models.generator.model import Generator
from models.generator.recommend import find_best_codes, score_candidates
from models.generator.seen import seen_items
from models.generator.trie import CodeTrie
from models.ranker.histories import Histories, Int64s, Ints

FOUND = 100  # items that each source may add to the candidates of a user
BEAM = 128
LEARNED_ROWS = 20_000  # rows that train the network, drawn at random: limits time and memory
HIDDEN, EPOCHS, BATCH, LR, DECAY = 32, 12, 64, 2e-3, 1e-3  # of the network


class CandidateNetwork(nn.Module):
    """The score of a candidate: a linear and a small nonlinear function of its features."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        """mean, scale: [features] of the candidates; the network reads (features - mean) / scale"""
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.linear = nn.Linear(len(mean), 1, bias=False)
        self.deep = nn.Sequential(
            nn.Linear(len(mean), HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Scores [rows, candidates] of features [rows, candidates, features]."""
        x = (features - self.mean) / self.scale
        scores: Tensor = (self.linear(x) + self.deep(x)).squeeze(2)
        return scores


@dataclass(frozen=True)
class Fusion:
    """Ranks the candidates of a user by what generator, graph, words and popularity say of them.

    Where users choose many items each, such as films that they have seen, popular items are hard to beat; elsewhere
    they say little.

    model, trie  of the heads `codes` and `items`
    walks        an item graph that does not look at contents
    contents     an item graph of the same items that looks at their words: it finds candidates
    counts       [items] events of each item in training
    network      of the features of `build_features`; None before it is trained
    """

    model: Generator
    trie: CodeTrie
    walks: ItemGraph
    contents: ItemGraph
    counts: Int64s
    network: CandidateNetwork | None = None

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
        seed: int = 0,
    ) -> "Fusion":
        """Train the network on the next items `targets` [rows] of users whose histories end at `ends` [rows].

        raises  ValueError if no source found any of the next items
        """
        fusion = cls(model, trie, replace(contents, vectors=None), contents, counts)
        rows = np.random.default_rng(seed).permutation(len(users))[:LEARNED_ROWS]
        candidates, features = fusion.describe(histories, users[rows], ends[rows])
        is_target = torch.from_numpy(candidates == targets[rows, None])
        found = is_target.any(dim=1).nonzero().squeeze(1)
        if not len(found):
            raise ValueError("no source found any of the next items that the fused list learns from")
        is_candidate = torch.from_numpy(candidates >= 0)[found]
        network = train_network(features[found], is_candidate, is_target[found].int().argmax(dim=1), seed)
        return replace(fusion, network=network)

    def describe(self, histories: Histories, users: Int64s, ends: Int64s) -> tuple[Int64s, Tensor]:
        """The candidates [rows, 3 * FOUND] of users, filled up with -1, and their features (see `build_features`)."""
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
        others = [torch.from_numpy(score) for score in (walk, np.maximum(both - walk, 0), popularity)]
        return candidates, build_features(torch.stack([by_model, *others], dim=2), items.cpu() >= 0)

    def top_items(self, histories: Histories, users: Int64s, ends: Int64s, k: int) -> tuple[Int64s, Floats]:
        """The best k items of each row that the user has not seen, and their scores.

        returns  items [rows, k] int64, best first, filled up with -1; scores [rows, k] float32, filled up with -inf
        """
        assert self.network is not None
        candidates, features = self.describe(histories, users, ends)
        with torch.no_grad():
            scores = self.network(features).numpy()
        scores[candidates < 0] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # candidates ascend: of equal ones the first wins
        items: NDArray[np.int64] = np.take_along_axis(candidates, order, axis=1)
        return items, np.take_along_axis(scores, order, axis=1)


def list_popular(counts: Int64s, offsets: Ints, seen: Ints) -> Int64s:
    """The FOUND items [rows, FOUND] with the most events that each row's user has not seen, filled up with -1.

    counts         [items] events
    offsets, seen  row r has seen the items seen[offsets[r]:offsets[r + 1]]
    """
    by_popularity = np.argsort(-counts, kind="stable")
    places = np.empty(len(counts), np.int64)
    places[by_popularity] = np.arange(len(counts))
    popular = np.full((len(offsets) - 1, FOUND), -1)
    for row, (start, stop) in enumerate(pairwise(offsets.tolist())):
        first = by_popularity[: FOUND + stop - start]
        is_unseen = np.ones(len(first), bool)
        seen_places = places[seen[start:stop]]
        is_unseen[seen_places[seen_places < len(first)]] = False
        unseen = first[is_unseen][:FOUND]
        popular[row, : len(unseen)] = unseen
    return popular


def build_features(scores: Tensor, is_candidate: Tensor) -> Tensor:
    """What the network reads of candidates [rows, candidates, 9].

    The score of the model's head `items`, as it is and with the mean 0 and the deviation 1 within the row; the square
    roots of walk and likeness, which are near 0 for most candidates and high for few; popularity; and for each of the
    four scores 1 / (OFFSET + rank) within the row. Equal scores have the same rank.

    scores        [rows, candidates, 4]: model, walk on the graph, likeness of words, log of the number of events
    is_candidate  [rows, candidates] bool; the others have no rank
    """
    model, walk, likeness, popularity = scores.unbind(2)
    counts = is_candidate.sum(dim=1, keepdim=True).clamp(min=1)
    centred = (model - (model * is_candidate).sum(dim=1, keepdim=True) / counts) * is_candidate
    deviation = (centred.square().sum(dim=1, keepdim=True) / counts).sqrt().clamp(min=1e-6)
    features = [model, centred / deviation, walk.sqrt(), likeness.sqrt(), popularity]
    for score in (model, walk, likeness, popularity):
        score = score.masked_fill(~is_candidate, -torch.inf).contiguous()
        higher = score.shape[1] - torch.searchsorted(score.sort(dim=1).values, score, right=True)
        features.append(1 / (OFFSET + 1 + higher))
    return torch.stack(features, dim=2) * is_candidate.unsqueeze(2)


def train_network(features: Tensor, is_candidate: Tensor, targets: Tensor, seed: int) -> CandidateNetwork:
    """Train a network so that a softmax over a row's candidates gives its target much probability.

    features      [rows, candidates, features]
    is_candidate  [rows, candidates] bool
    targets       [rows] int64, a place among the candidates
    """
    values = features[is_candidate]
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = CandidateNetwork(values.mean(dim=0), values.std(dim=0).clamp(min=1e-6))
        optimizer = torch.optim.AdamW(network.parameters(), LR, weight_decay=DECAY)
        for _ in range(EPOCHS):
            for rows in np.array_split(rng.permutation(len(targets)), -(-len(targets) // BATCH)):
                scores = network(features[rows]).masked_fill(~is_candidate[rows], -torch.inf)
                optimizer.zero_grad()
                torch.autograd.backward(F.cross_entropy(scores, targets[rows]))
                optimizer.step()
    return network
