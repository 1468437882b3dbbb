"""What the lists of `recommend` are made from: active users, and where their candidates come from."""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.lake.arrow import large_parts
from jobs.landing.cancels import load_cancelled
from jobs.ranking.event_log import read_positive_events, read_without
from jobs.ranking.items import ItemFeatures
from jobs.ranking.settings import GENERATED
from jobs.settings.tree import Settings
from models.arrays_in_files import file_backed_zeros
from models.candidates import CandidateSources, Lists
from models.neighbours import find_neighbours
from models.ranker.histories import EventPart, Histories, Int64s

TRIGGERS, NEIGHBOURS = 10, 50  # QARM V2, section 6


def find_active_users(histories: Histories, settings: Settings, day: date) -> Int64s:
    """Indices of the users who acted in the last `[recommend] active_days` days."""
    if not len(histories.ts):
        return np.zeros(0, np.int64)
    last = histories.ts[np.maximum(histories.offsets[1:] - 1, 0)]
    has_events = np.diff(histories.offsets) > 0
    first_moment = np.datetime64(first_active_day(settings, day), "us").astype(np.int64)
    return np.flatnonzero(has_events & (last >= first_moment))


def count_active_users(lake: Lake, settings: Settings, day: date) -> int:
    """The number of these users, without their histories."""
    text = """
        SELECT count(DISTINCT user_id) AS n
        FROM silver.histories ANTI JOIN cancelled USING (event, day, event_id, item_id)
        WHERE day >= :since AND day <= :day
          AND (event IN ('click', 'purchase') OR (event = 'rating' AND value >= :like_from))"""
    values = {"since": first_active_day(settings, day), "day": day, "like_from": settings.logs.like_from}
    return int(lake.query(text, {"cancelled": load_cancelled(lake, date.min, day)}, **values)["n"][0].as_py())


def load_sources(
    lake: Lake, settings: Settings, day: date, items: ItemFeatures, users: pa.Array | None = None
) -> CandidateSources:
    """Where candidates come from: the `[recommend] sources`. Their numbers are places in SOURCES.

    settings  with those of the model that ranks, see `ModelCard.apply_to`
    users     IDs by index, whose generated lists are loaded
    """
    sources, nothing = settings.recommend.sources, np.zeros(0, np.int64)
    pairs = _load_kept_pairs(lake, items, day) if "pairs" in sources else (nothing, nothing)
    users = pa.array([], pa.string()) if users is None else users
    no_lists = Lists(np.zeros(len(users) + 1, np.int64), nothing)
    has_lists = {name: name in sources and len(users) for name in GENERATED}
    return CandidateSources(
        pairs=Lists.from_pairs(*pairs, len(items.ids)),
        neighbours=find_neighbours(items.vectors, NEIGHBOURS if "neighbours" in sources else 0),
        generated=[
            _load_generated(lake, items, users, day, name) if has_lists[name] else no_lists for name in GENERATED
        ],
        popular=_load_popular(lake, settings, items, day) if "popular" in sources else nothing,
        triggers=TRIGGERS,
        count=settings.recommend.candidates,
        exclude_seen=settings.recommend.exclude_seen,
    )


def first_active_day(settings: Settings, day: date) -> date:
    """The first of the last `[recommend] active_days` days."""
    return day - timedelta(days=settings.recommend.active_days - 1)


def _load_popular(lake: Lake, settings: Settings, items: ItemFeatures, day: date) -> Int64s:
    """Items by how often they were clicked, bought or liked in the active days, most popular first."""
    counts, since = np.zeros(len(items.ids), np.int64), first_active_day(settings, day)
    read = partial(read_positive_events, lake, settings, day, since=since)
    for part in large_parts(read_without(read, load_cancelled(lake, date.min, day), ["item_id"]), len(counts)):
        counts += np.bincount(items.index_of(part["item_id"]), minlength=len(counts))
    by_count = np.argsort(-counts, kind="stable")
    return by_count[: np.count_nonzero(counts)]


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


def _load_generated(lake: Lake, items: ItemFeatures, users: pa.Array, day: date, source: str) -> Lists:
    """What `generate` found for each user."""
    where = (ds.field("day") == day) & (ds.field("source") == source)

    def read_parts() -> Iterator[EventPart]:
        batches = lake.batches("gold.generated", ["user_id", "rank", "item_id"], where)
        for part in large_parts(batches, len(users) + len(items.ids)):
            user = pc.fill_null(pc.index_in(part["user_id"], users), -1).to_numpy().astype(np.int64)
            item, rank = items.index_of(part["item_id"]), part["rank"].to_numpy().astype(np.int64)
            is_known = (user >= 0) & (item >= 0)
            no_values = np.zeros(is_known.sum(), np.int64)
            yield user[is_known], rank[is_known], no_values, item[is_known], no_values

    counts = np.zeros(len(users), np.int64)
    for user, *_ in read_parts():
        counts += np.bincount(user, minlength=len(counts))
    by_rank = Histories.from_parts(counts, read_parts(), file_backed_zeros)  # the rank is the time
    return Lists(by_rank.offsets, by_rank.items)
