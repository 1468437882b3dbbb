"""The lists of `recommend`: active users, their candidates, and the best K of them."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.ranking.items import ItemFeatures
from jobs.ranking.scoring import Scorer
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings
from models.candidates import find_neighbours, select_candidates
from models.ranker.histories import Histories, Int64s
from models.ranker.training import predict

EVENTS_AT_ONCE = 1 << 22  # most events searched at once, to limit memory
TRIGGERS, NEIGHBOURS = 10, 50  # QARM V2, section 6


def find_active_users(histories: Histories, settings: Settings, day: date) -> Int64s:
    """Indices of the users who acted in the last `[recommend] active_days` days."""
    if not len(histories.ts):
        return np.zeros(0, np.int64)
    last = histories.ts[np.maximum(histories.offsets[1:] - 1, 0)]
    has_events = np.diff(histories.offsets) > 0
    return np.flatnonzero(has_events & (last >= _first_active_moment(settings, day)))


def find_candidates(lake: Lake, settings: Settings, day: date, scorer: Scorer, users: Int64s) -> Iterator[Int64s]:
    """The items to rank for each user in turn."""
    return select_candidates(
        scorer.histories,
        users,
        neighbours=find_neighbours(scorer.items.vectors, NEIGHBOURS),
        pairs=_load_kept_pairs(lake, scorer.items, day),
        popular=_order_by_popularity(scorer.histories, settings, day),
        triggers=TRIGGERS,
        count=settings.recommend.candidates,
        exclude_seen=settings.recommend.exclude_seen,
    )


def rank_candidates(
    scorer: Scorer, users: Int64s, candidates: Iterator[Int64s], max_candidates: int, k: int
) -> tuple[pa.Array, pa.Array, pa.Array, pa.Array]:
    """User index, rank, item index and score of the K best candidates of each user; ties by item index.

    candidates      of each of the users in turn
    max_candidates  largest number of candidates of a user
    """
    report_progress, parts = progress("ranking for users"), []
    step = max(EVENTS_AT_ONCE // (max_candidates * sum(scorer.model.design.ks)), 1)
    for start in range(0, len(users), step):
        part = list(islice(candidates, step))
        user = np.repeat(users[start : start + step], list(map(len, part)))
        target = np.concatenate(part)
        inputs, _ = scorer.build_inputs(user, target)
        score = predict(scorer.model, inputs)[:, 0].astype(np.float64)
        order = np.lexsort((target, -score, user))
        first = np.searchsorted(user[order], user[order])
        rank = np.arange(len(order)) - first + 1
        is_best = rank <= k
        parts.append((user[order][is_best], rank[is_best], target[order][is_best], score[order][is_best]))
        report_progress(min(start + step, len(users)), len(users))
    empty = (np.zeros(0, np.int64),) * 3 + (np.zeros(0),)
    user, rank, item, score = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    return pa.array(user), pa.array(rank.astype(np.int32)), pa.array(item), pa.array(score)


def _first_active_moment(settings: Settings, day: date) -> int:
    first = day - timedelta(days=settings.recommend.active_days - 1)
    return int(np.datetime64(first, "us").astype(np.int64))


def _order_by_popularity(histories: Histories, settings: Settings, day: date) -> Int64s:
    """Items by their number of events in the last `[recommend] active_days` days, most popular first."""
    recent = histories.items[histories.ts >= _first_active_moment(settings, day)]
    items, counts = np.unique(recent, return_counts=True)
    return items[np.lexsort((items, -counts))].astype(np.int64)


def _load_kept_pairs(lake: Lake, items: ItemFeatures, day: date) -> tuple[Int64s, Int64s]:
    """The day's pairs that the judge kept, in both directions: Swing's pairs, then two-tower's, best score first."""
    is_kept = (ds.field("day") == day) & (ds.field("verdict") == "yes")
    rows = lake.arrow("silver.item_pairs", ["item_a", "item_b", "source", "score"], is_kept)
    rows = rows.sort_by(
        [("source", "ascending"), ("score", "descending"), ("item_a", "ascending"), ("item_b", "ascending")]
    )
    a, b = items.index_of(rows["item_a"]), items.index_of(rows["item_b"])
    is_known = (a >= 0) & (b >= 0)
    return np.concatenate([a[is_known], b[is_known]]), np.concatenate([b[is_known], a[is_known]])
