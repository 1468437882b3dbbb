"""The item graph: which items follow which in the histories. It needs no training, and it is hard to beat.

`ItemGraph.from_pairs` turns counts of pairs into steps from item to item, and `ItemGraph.top_items` walks one and two
steps from the last items of each user.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.generator.pair_counts import Matrix, count_pairs
from models.generator.seen import seen_items
from models.ranker.histories import Histories, Int64s, Ints
from models.ranker.sorting import split_into_ranges

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
BACKWARDS = 0.7  # the weight of a step against the order of events
ROW_POWER, COLUMN_POWER = 0.5, 0.3  # how much less each step counts from an item, or to an item, with many steps
LAST, DECAY = 10, 0.6  # a walk begins at the user's last items; each counts DECAY times the one after it
TWO_STEPS = 0.2  # the weight of a walk of two steps; one step has weight 1
STRONGEST = 300  # steps that an item keeps; a walk costs less where many users chose many items, and finds the same
CONTENT = 0.15  # the weight of the cosine between contents
GROUPS_PER_PLACE = 20  # a list is chosen from little more than its items if they are seldom in the same group
SCORES_AT_ONCE = 1 << 25  # limits memory: to 128 MiB for dense float32 scores, about three times that for sparse ones


@dataclass(frozen=True)
class ItemGraph:
    """Steps from item to item, weighted by how often and how closely the items follow each other.

    steps    [items, items] float32 CSR, normalised, the STRONGEST of each item
    vectors  [items, dim] float32 of unit length, an array or CSR: the items' contents; zeros for an item without
             content. None if the graph does not look at contents. With vectors, items like the user's last items get a
             higher score.
    """

    steps: Matrix
    vectors: Floats | Matrix | None = None

    @classmethod
    def from_pairs(
        cls,
        before: Ints,
        after: Ints,
        weight: NDArray[np.floating],
        *,
        n_items: int,
        vectors: Floats | Matrix | None = None,
    ) -> "ItemGraph":
        """Build the graph from counted pairs [pairs]. The weights of a pair that occurs twice are added.

        raises  ValueError if an item index is not in [0, n_items), or there are not n_items vectors
        """
        if vectors is not None and vectors.shape[0] != n_items:
            raise ValueError(f"there are {vectors.shape[0]} vectors of {n_items} items")
        steps = sparse.csr_matrix((weight, (before, after)), (n_items, n_items))
        steps = steps + BACKWARDS * steps.T
        steps.sort_indices()
        scale_rows = _negative_power(steps.sum(axis=1), ROW_POWER)
        scale_columns = _negative_power(steps.sum(axis=0), COLUMN_POWER)
        return cls(_keep_strongest(steps, scale_rows, scale_columns), vectors)

    @classmethod
    def from_histories(
        cls, histories: Histories, ends: Int64s, *, n_items: int, vectors: Floats | Matrix | None = None
    ) -> "ItemGraph":
        """Build the graph from histories that end at `ends` [users]."""
        return cls.from_pairs(*count_pairs(histories, ends), n_items=n_items, vectors=vectors)

    @property
    def n_items(self) -> int:
        return int(self.steps.shape[0])

    def score_items(self, histories: Histories, users: Int64s, ends: Int64s) -> Floats:
        """Score all items, also those that the user has seen. Items out of reach have the score 0.

        users    [rows], index of the user
        ends     [rows], where the history of each row ends
        returns  [rows, items] float32, so pass few rows at once
        """
        scores = self._score(*seen_items(histories, users, ends))
        dense: Floats = scores.toarray() if sparse.issparse(scores) else scores
        return dense

    def top_items(
        self, histories: Histories, users: Int64s, ends: Int64s, k: int, *, excluded: Bools | None = None
    ) -> tuple[Int64s, Floats]:
        """The best k items of each row that the user has not seen and whose score is above 0.

        Memory does not grow with the number of rows, apart from the result.

        users, ends  as for `score_items`
        excluded     [items] items that nobody gets
        returns      items [rows, k] int64, best first, ties by index, filled up with -1; scores [rows, k] float32,
                     filled up with -inf
        """
        top, top_scores = np.full((len(users), k), -1), np.full((len(users), k), -np.inf, np.float32)
        left_out = np.zeros(0, np.int64) if excluded is None else np.flatnonzero(excluded)
        for row, (seen, scores) in enumerate(self._score_rows(histories, users, ends)):
            scores[seen] = scores[left_out] = 0
            best = _top_places(scores, k)
            top[row, : len(best)], top_scores[row, : len(best)] = best, scores[best]
        return top, top_scores

    def score_candidates(self, histories: Histories, users: Int64s, ends: Int64s, items: Int64s) -> Floats:
        """Score items [rows, candidates] of each row's own; 0 for an item of -1. Memory does not grow with the rows.

        users, ends  as for `score_items`
        """
        scores = np.zeros(items.shape, np.float32)
        rows_at_once = max(SCORES_AT_ONCE // max(self.n_items, 1), 1)
        for start in range(0, len(users), rows_at_once):
            part = slice(start, start + rows_at_once)
            reached = self._score(*seen_items(histories, users[part], ends[part]))
            rows, _ = np.indices(items[part].shape)
            values = np.asarray(reached[rows.ravel(), items[part].ravel()]).reshape(rows.shape)
            scores[part] = np.where(items[part] >= 0, values, 0)
        return scores

    def _score_rows(self, histories: Histories, users: Int64s, ends: Int64s) -> Iterator[tuple[Ints, Floats]]:
        """Of each row, the items that its user has seen, and the scores of all items: an array that may be changed.

        Without contents, a row's steps are copied and added up in one array. That takes a quarter of the time that a
        product of two sparse matrices takes, which keeps a list of the items that it has reached.
        """
        row_size = self.n_items if self.vectors is not None else LAST * (STRONGEST + 1)
        rows_at_once = max(SCORES_AT_ONCE // max(row_size, 1), 1)
        for start in range(0, len(users), rows_at_once):
            part = slice(start, start + rows_at_once)
            offsets, items = seen_items(histories, users[part], ends[part])
            seen = (items[first:last] for first, last in pairwise(offsets))
            if self.vectors is not None:
                yield from zip(seen, self._score(offsets, items), strict=True)
                continue
            walked = self._walk(self._starts(offsets, items))
            for seen_by_user, (first, last) in zip(seen, pairwise(walked.indptr), strict=True):
                yield seen_by_user, walked.data[first:last] @ self.steps[walked.indices[first:last]]

    def _score(self, offsets: Int64s, items: Ints) -> Matrix:
        """Scores [rows, items] for the seen items of each row: CSR, or an array if contents count."""
        starts = self._starts(offsets, items)
        reached = self._walk(starts) @ self.steps
        if self.vectors is None:
            return reached
        likeness = (starts @ self.vectors) @ self.vectors.T
        return reached.toarray() + CONTENT * (likeness.toarray() if sparse.issparse(likeness) else likeness)

    def _starts(self, offsets: Int64s, items: Ints) -> Matrix:
        """The weights [rows, items] CSR of the items at which the walks of each row begin."""
        n_rows = len(offsets) - 1
        rows = np.repeat(np.arange(n_rows), np.diff(offsets))
        place = offsets[rows + 1] - 1 - np.arange(len(rows))  # 0 is the last event
        is_last = place < LAST
        weights = (DECAY ** place[is_last]).astype(np.float32)
        return sparse.csr_matrix((weights, (rows[is_last], items[is_last])), (n_rows, self.n_items))

    def _walk(self, starts: Matrix) -> Matrix:
        """The weights [rows, items] CSR of the items from which the last step of each row's walks is made."""
        return starts + TWO_STEPS * (starts @ self.steps)


def _keep_strongest(steps: Matrix, scale_rows: NDArray[np.float64], scale_columns: NDArray[np.float64]) -> Matrix:
    """The STRONGEST highest values of each row when they are scaled, as float32; ties go to the smaller column.

    steps  CSR with sorted columns
    """
    kept = [(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))]
    for rows, places in split_into_ranges(steps.indptr):
        columns = steps.indices[places]
        values = scale_rows[rows] * steps.data[places] * scale_columns[columns]
        order = np.lexsort((-values, rows))
        order = np.sort(order[np.arange(len(rows)) - np.searchsorted(rows, rows) < STRONGEST])
        kept.append((rows[order], columns[order], values[order].astype(np.float32)))
    rows, columns, values = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return sparse.csr_matrix((values, (rows, columns)), steps.shape)


def _negative_power(sums: Any, power: float) -> NDArray[np.float64]:
    values = np.asarray(sums, np.float64).ravel()
    return np.where(values > 0, np.maximum(values, 1e-9) ** -power, 0)


def _top_places(scores: Floats, k: int) -> Int64s:
    """Indices [at most k] of the highest scores above 0, the highest first; ties go to the smaller index."""
    groups, least = GROUPS_PER_PLACE * k, np.finfo(scores.dtype).smallest_subnormal
    if len(scores) > groups:  # k groups have a score as high as the k-th best group, so all others are too low
        highest = scores[: len(scores) // groups * groups].reshape(-1, groups).max(axis=0)
        least = max(least, np.partition(highest, -k)[-k])
    places = np.flatnonzero(scores >= least)  # also those that tie with the k-th
    return places[np.argsort(-scores[places], kind="stable")][:k]
