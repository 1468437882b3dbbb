"""Similar rates: of what a user was shown that is like the target item, how much the user took.

A running rate says how often a user takes anything. A similar rate weights each event by how much it is like the
target: a kernel regression (Nadaraya 1964; Watson 1964) of the user's own answers, over the whole history. It has no
weights. Attention over the events that a search finds could learn the same, but on real labels it does not: see "What
each part of sidereal is worth" in docs/results/rank.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.ranker.event_kinds import EVENT_KINDS, shown_kinds
from models.ranker.histories import Histories, Int64s, Ints
from models.ranker.search_result import gather_histories

KERNELS = 5
SIMILAR_RATES = 2 * KERNELS
CENTER, WIDTH = 0.6, 0.2  # an event of this similarity weighs 1; the weight grows e times with each WIDTH
HEAVIEST = 10.0  # no event weighs more: an item that is shown again is one answer, not a thousand
RECENT = 30  # the weight of a recent event falls e times with so many events after it
PRIOR = 3.0  # every similar rate starts with events of this weight at the user's own rate


@dataclass(frozen=True)
class SimilarRates:
    """How the similar rates of rows are computed.

    vectors      [items, d] float32, as the search compares them
    categories   [items] int64 on the same device, -1 for an item without a category
    shown        types of the events that showed an item
    taken        type of the events in which the user took it
    max_history  number of events that are read, the latest ones
    """

    vectors: Tensor
    categories: Tensor
    shown: tuple[int, ...]
    taken: int
    max_history: int = 10_000

    @classmethod
    def of_task(cls, task: str, vectors: Tensor, categories: Tensor, max_history: int) -> Self:
        """For the events of a task, one of those in SHOWN_BY_TASK."""
        return cls(vectors, categories, shown_kinds(task), EVENT_KINDS[task], max_history)

    def at(
        self, histories: Histories, user: Ints, target: Ints, end: Int64s, user_odds: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Similar rates [rows, SIMILAR_RATES] float32.

        For each kernel: how much higher the log-odds of similar items are than the user's own, and log(1 + weight) / 5,
        the weight of all its events. The kernels are three widths of similarity, the same category, and similar and
        recent.

        histories    with what users were shown, and with types
        user, target [rows]
        end          [rows] where each history ends, from `Histories.ends`
        user_odds    [rows] log-odds of the user's running rate
        raises       ValueError if the histories do not distinguish types of events
        """
        if histories.kinds is None:
            raise ValueError("similar rates need the types of events: build the histories with kinds")
        sums, device = np.zeros((len(user), KERNELS, 2), np.float32), self.vectors.device
        for rows, _, items, events, is_outside in gather_histories(histories, user, end, self.max_history, device):
            kinds = histories.kinds[np.maximum(events, 0)]
            counts = np.stack([np.isin(kinds, self.shown), kinds == self.taken], axis=2)
            counted = torch.from_numpy(counts).to(device).float()
            targets = torch.as_tensor(target[rows], dtype=torch.int64, device=device)
            for kernel, weights in enumerate(self._weigh(targets, items, is_outside)):
                sums[rows, kernel] = torch.bmm(weights, counted).cpu().numpy()
        shown, taken = sums[:, :, 0], sums[:, :, 1]
        odds = user_odds[:, None]
        mean = 1 / (1 + np.exp(-odds))
        shown = np.maximum(shown, taken)  # an item that was taken was shown, even if the log does not say so
        similar = np.log((taken + PRIOR * mean) / (shown - taken + PRIOR * (1 - mean)))
        columns = np.stack([similar - odds, np.log1p(shown) / 5], axis=2)
        return columns.reshape(len(user), SIMILAR_RATES).astype(np.float32)

    def _weigh(self, target: Tensor, items: Tensor, is_outside: Tensor) -> Iterator[Tensor]:
        """The weights of events by each kernel [groups, size, length].

        target      [groups, size]
        items       [groups, length], newest first
        is_outside  [groups, size, length] events that do not count
        """
        sims = torch.bmm(self.vectors[target], self.vectors[items].transpose(1, 2))
        wide = ((sims - CENTER) / WIDTH).exp().masked_fill_(is_outside, 0.0)
        wide, similar, narrow = (power.clamp(max=HEAVIEST) for power in (wide, wide**2, wide**4))
        yield from (wide, similar, narrow)
        category = self.categories[target].unsqueeze(2)
        is_same = (category == self.categories[items].unsqueeze(1)) & (category >= 0)
        yield (is_same & ~is_outside).float()
        newer = (~is_outside).cumsum(dim=2) - 1  # number of the row's events after each event
        yield similar * (newer / -RECENT).exp()
