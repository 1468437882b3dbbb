"""Lists of users: candidates in the order of a ranker's scores, at one moment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.candidates import OFFSET, CandidateSources
from models.ranker.histories import Histories, Int64s, Ints
from models.ranker.model import Ranker
from models.ranker.prediction import predict
from models.ranker.rates import Totals
from models.ranker.samples import Samples, build_samples
from models.ranker.search_result import SearchResult
from models.ranker.similar_rates import SimilarRates

EVENTS_AT_ONCE = 1 << 22  # most events that are searched, or read to find candidates, at once: to limit memory
USERS_AT_ONCE = 4096
Search = Callable[[Histories, Ints, Ints, Int64s], SearchResult]  # of histories, user, target and end [rows]
Order = Literal["fused", "ranker"]


@dataclass(frozen=True)
class PairScorer:
    """A model with what it reads of some users, to score pairs of these users and items at one moment.

    search          of the model
    similar_rates   computes them, if the model reads them
    histories       what users clicked, bought or liked until the moment
    shown           the histories with all that users were shown, if the model reads these; else as `histories`
    searches_shown  whether the model searches `shown`
    totals          counts for the running rates of the model's main task
    moment          microseconds since 1970
    """

    model: Ranker
    search: Search
    similar_rates: SimilarRates
    histories: Histories
    shown: Histories
    searches_shown: bool
    totals: Totals
    moment: int

    @property
    def searched_histories(self) -> Histories:
        return self.shown if self.searches_shown else self.histories

    def build_inputs(self, user: Ints, target: Ints) -> tuple[Samples, Ints]:
        """The model's inputs for pairs [rows] of user and item index, and the events found.

        returns  the inputs, and the position of each event in the searched histories [rows, k], -1 for padding
        """
        design, histories = self.model.design, self.searched_histories
        end = histories.offsets[user + 1]
        result = self.search(histories, user, target, end)
        ts = np.full(len(user), self.moment)
        labels = np.zeros((len(user), len(self.model.tasks)), np.float32)
        rates, similar = self.totals.at(user, target), None
        if "similar_rates" in design.extras:
            similar = self.similar_rates.at(self.shown, user, target, self.shown.offsets[user + 1], rates[:, 0])
        inputs = build_samples(design, histories, result, user, target, end, ts, labels, rates, similar)
        return inputs, result.events


def rank_candidates(
    scorer: PairScorer,
    users: Int64s,
    sources: CandidateSources,
    k: int,
    order: Order,
    report_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[NDArray[np.generic], ...]:
    """User index, rank, item index, score and sources of the k best candidates of each user; ties by item index.

    order  by the ranker's score; or fused: by the sum of 1 / (OFFSET + rank) over the ranks that the ranker and each
           generated source give
    """
    parts = []
    for start, stop in _split_users(scorer, users, sources.count):
        found = sources.find(scorer.histories, users[start:stop])
        if len(found.rows):
            user, target, votes = users[start + found.rows], found.items, found.votes
            inputs, _ = scorer.build_inputs(user, target)
            score = predict(scorer.model, inputs)[:, 0].astype(np.float64)
            by_rank, rank = _rank_within(user, target, score)
            if order == "fused":
                votes[by_rank] += 1 / (OFFSET + rank)
                by_rank, rank = _rank_within(user, target, votes)
            best = by_rank[rank <= k]
            rank = rank[rank <= k].astype(np.int32)
            parts.append((user[best], rank, target[best], score[best], found.sources[best]))
        report_progress(stop, len(users))
    columns = zip(*parts, strict=True) if parts else [[np.zeros(0, np.int64)]] * 5
    return tuple(np.concatenate(column) for column in columns)


def _split_users(scorer: PairScorer, users: Int64s, candidates: int) -> Iterator[tuple[int, int]]:
    """Ranges of places among the users, each with about EVENTS_AT_ONCE events, and with at least one user."""
    offsets, searched = scorer.histories.offsets, candidates * sum(scorer.model.design.ks)
    ends = np.cumsum(np.maximum(offsets[users + 1] - offsets[users], searched))
    start, done = 0, 0
    while start < len(users):
        stop = int(np.searchsorted(ends, done + EVENTS_AT_ONCE, side="right"))
        stop = min(max(stop, start + 1), start + USERS_AT_ONCE)
        yield start, stop
        start, done = stop, int(ends[stop - 1])


def _rank_within(user: Int64s, item: Int64s, score: NDArray[np.float64]) -> tuple[Int64s, Int64s]:
    """The order of rows by user and falling score, ties by item, and the rank of each row in this order."""
    order = np.lexsort((item, -score, user))
    return order, np.arange(len(order)) - np.searchsorted(user[order], user[order]) + 1
