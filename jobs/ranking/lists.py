"""The lists of `recommend`: active users, their candidates, and the best K of them."""

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.lake import Lake
from jobs.lake.arrow import file_backed_zeros, large_parts
from jobs.ranking.items import ItemFeatures
from jobs.ranking.scoring import Scorer
from jobs.ranking.settings import GENERATED, SOURCES, Recommend
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings
from models.candidates import OFFSET, CandidateSources, Lists
from models.neighbours import find_neighbours
from models.ranker.histories import EventPart, Histories, Int64s
from models.ranker.training import predict

EVENTS_AT_ONCE = 1 << 22  # most events that are searched, or read to find candidates, at once: to limit memory
USERS_AT_ONCE = 4096
TRIGGERS, NEIGHBOURS = 10, 50  # QARM V2, section 6


def find_active_users(histories: Histories, settings: Settings, day: date) -> Int64s:
    """Indices of the users who acted in the last `[recommend] active_days` days."""
    if not len(histories.ts):
        return np.zeros(0, np.int64)
    last = histories.ts[np.maximum(histories.offsets[1:] - 1, 0)]
    has_events = np.diff(histories.offsets) > 0
    return np.flatnonzero(has_events & (last >= _first_active_moment(settings, day)))


def load_sources(lake: Lake, settings: Settings, day: date, scorer: Scorer) -> CandidateSources:
    """Where candidates come from: the `[recommend] sources`. Their numbers are places in SOURCES."""
    sources, nothing = settings.recommend.sources, np.zeros(0, np.int64)
    n_users, n_items = len(scorer.users), len(scorer.items.ids)
    pairs = _load_kept_pairs(lake, scorer.items, day) if "pairs" in sources else (nothing, nothing)
    no_lists = Lists(np.zeros(n_users + 1, np.int64), nothing)
    return CandidateSources(
        pairs=Lists.from_pairs(*pairs, n_items),
        neighbours=find_neighbours(scorer.items.vectors, NEIGHBOURS if "neighbours" in sources else 0),
        generated=[_load_generated(lake, scorer, day, name) if name in sources else no_lists for name in GENERATED],
        popular=_order_by_popularity(scorer.histories, settings, day) if "popular" in sources else nothing,
        triggers=TRIGGERS,
        count=settings.recommend.candidates,
        exclude_seen=settings.recommend.exclude_seen,
    )


def rank_candidates(
    scorer: Scorer, users: Int64s, sources: CandidateSources, settings: Recommend
) -> tuple[pa.Array, ...]:
    """User index, rank, item index, score and sources of the K best candidates of each user; ties by item index."""
    report_progress, parts = progress("ranking for users"), []
    for start, stop in _split_users(scorer, users, settings):
        found = sources.find(scorer.histories, users[start:stop])
        if len(found.rows):
            user, target, votes = users[start + found.rows], found.items, found.votes
            inputs, _ = scorer.build_inputs(user, target)
            score = predict(scorer.model, inputs)[:, 0].astype(np.float64)
            order, rank = _rank_within(user, target, score)
            if settings.order == "fused":
                votes[order] += 1 / (OFFSET + rank)
                order, rank = _rank_within(user, target, votes)
            best = order[rank <= settings.k]
            rank = rank[rank <= settings.k].astype(np.int32)
            parts.append((user[best], rank, target[best], score[best], found.sources[best]))
        report_progress(stop, len(users))
    columns = zip(*parts, strict=True) if parts else [[np.zeros(0, np.int64)]] * 5
    return tuple(pa.array(np.concatenate(column)) for column in columns)


def _split_users(scorer: Scorer, users: Int64s, settings: Recommend) -> Iterator[tuple[int, int]]:
    """Ranges of places among the users, each with about EVENTS_AT_ONCE events, and with at least one user."""
    offsets, searched = scorer.histories.offsets, settings.candidates * sum(scorer.model.design.ks)
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


def name_sources(sources: pa.Array) -> pa.Array:
    """The names of the sources whose bits are set [rows]."""
    names = [[name for bit, name in enumerate(SOURCES) if bits >> bit & 1] for bits in range(1 << len(SOURCES))]
    return pa.array(names, pa.list_(pa.string())).take(sources)


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


def _load_generated(lake: Lake, scorer: Scorer, day: date, source: str) -> Lists:
    """What `generate` found for each user."""
    where = (ds.field("day") == day) & (ds.field("source") == source)

    def read_parts() -> Iterator[EventPart]:
        batches = lake.batches("gold.generated", ["user_id", "rank", "item_id"], where)
        for part in large_parts(batches, len(scorer.users) + len(scorer.items.ids)):
            user = pc.fill_null(pc.index_in(part["user_id"], scorer.users), -1).to_numpy().astype(np.int64)
            item, rank = scorer.items.index_of(part["item_id"]), part["rank"].to_numpy().astype(np.int64)
            is_known = (user >= 0) & (item >= 0)
            no_values = np.zeros(is_known.sum(), np.int64)
            yield user[is_known], rank[is_known], no_values, item[is_known], no_values

    counts = np.zeros(len(scorer.users), np.int64)
    for user, *_ in read_parts():
        counts += np.bincount(user, minlength=len(counts))
    by_rank = Histories.from_parts(counts, read_parts(), file_backed_zeros)  # the rank is the time
    return Lists(by_rank.offsets, by_rank.items)
