"""Measures a generator by the next items of some users."""

from dataclasses import dataclass

import numpy as np

from models.generator.model import Generator
from models.generator.recommend import find_best_codes, find_best_items
from models.generator.seen import seen_items
from models.generator.trie import CodeTrie
from models.ranker.histories import Histories, Int64s
from models.training import parallel

K, BEAM = 10, 32


@dataclass(frozen=True)
class Validation:
    """Users whose next item is known, though it was not trained on.

    users, ends, targets  [users] int64: the item `targets` is the event at `ends`
    """

    histories: Histories
    users: Int64s
    ends: Int64s
    targets: Int64s

    @classmethod
    def draw(cls, histories: Histories, ends: Int64s, n_users: int, seed: int) -> "Validation":
        """A sample of the users who have an event after their end [users] and one before."""
        has_next = (ends < histories.offsets[1:]) & (ends > histories.offsets[:-1])
        if histories.hidden_by is not None:
            has_next[has_next] = ~histories.is_hidden(ends[has_next], ends[has_next] + 1)
        users = np.random.default_rng([seed, 0]).permutation(np.flatnonzero(has_next))[:n_users]
        return cls(histories, users, ends[users], histories.items[ends[users]].astype(np.int64))

    def measure(self, model: Generator, trie: CodeTrie | None) -> tuple[float, float]:
        """Recall and NDCG at 10 by the model's first head.

        Seen items are left out of the lists, except for the next item itself. NaN without users. Workers share the
        users.
        """
        if not len(self.users):
            return float("nan"), float("nan")
        rows = parallel.take_share(np.arange(len(self.users)))
        users, ends, targets = self.users[rows], self.ends[rows], self.targets[rows]
        offsets, items = seen_items(self.histories, users, ends)
        owner = np.repeat(np.arange(len(users)), np.diff(offsets))
        is_left_out = items != targets[owner]
        counts = np.bincount(owner[is_left_out], minlength=len(users))
        excluded = np.concatenate([[0], np.cumsum(counts)]), items[is_left_out]
        states = model.encode(self.histories, users, ends)
        if trie is not None and model.design.heads[0] == "codes":
            best = find_best_codes(model, states, trie, k=K, beam=BEAM, excluded=excluded)
        else:
            best = find_best_items(model, states, K, excluded)
        is_hit = best.items.cpu().numpy() == targets[:, None]
        gains = (is_hit / np.log2(np.arange(2, K + 2))).sum()
        sums = parallel.sum_over_workers(np.array([is_hit.sum(), gains], np.float32), model.device)
        recall, ndcg = (sums / len(self.users)).tolist()
        return recall, ndcg
