"""The lists of `generate`: for every active user the best items of each source, or else popular items.

They are made in shards of users, and each shard is stored when it is made: a run that was killed goes on with the next.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.generation.behaviour import Behaviour, midnight_after
from jobs.lake import Lake
from jobs.lake.arrow import distinct_strings
from jobs.lake.contracts import contracts
from jobs.runtime.checkpoint import LakeFile, hash_inputs
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings
from models.generator.graph import Floats
from models.ranker.histories import Histories, Int64s

TABLE = "gold.generated"
POPULAR = "popular"
USERS_AT_ONCE = 4096  # of a shard
Scored = tuple[Int64s, Floats]  # items, the best first, and their scores
# Finds the best k items of users with histories, user indices, ends of their histories and k. Returns items and scores
# [users, k], filled up with items of -1.
FindItems = Callable[[Histories, Int64s, Int64s, int], Scored]


@dataclass(frozen=True)
class Source:
    """What finds items.

    version  for gold.generated
    inputs   arrays that decide what it finds, beside the version and the histories
    """

    version: str
    find_items: FindItems
    inputs: Sequence[NDArray[Any]] = ()


def find_active_users(lake: Lake, settings: Settings, day: date) -> pa.Array:
    """The IDs of users who did or saw anything in the last `[recommend] active_days` days, sorted."""
    where = (ds.field("day") > _last_inactive_day(settings, day)) & (ds.field("day") <= day)
    batches = lake.batches("silver.events", ["user_id"], where & ds.field("user_id").is_valid())
    return distinct_strings(batch["user_id"] for batch in batches)


def make_lists(
    lake: Lake,
    settings: Settings,
    day: date,
    sources: Mapping[str, Source],
    behaviour: Behaviour,
    active_users: pa.Array,
    is_listed: NDArray[np.bool_],
) -> Iterator[pa.RecordBatch]:
    """Rows of gold.generated, in parts. Nothing that happened after the day counts.

    sources       by name
    active_users  IDs [users], sorted
    is_listed     [items] bool, whether a list can hold an item
    """
    active = pc.index_in(active_users, behaviour.users).to_numpy().astype(np.int64)
    ends = behaviour.ends(day)
    items, counts = count_popular(behaviour.histories, ends, _last_inactive_day(settings, day))
    popular = items[is_listed[items]], counts[is_listed[items]]
    inputs = _hash_inputs(sources, behaviour, [active, ends, is_listed, *popular])
    folder = f"models/unfinished/generate/{day}/lists-{inputs}"
    report_progress = progress("generating for users")
    for start in range(0, len(active), USERS_AT_ONCE):
        users = active[start : start + USERS_AT_ONCE]
        stored = LakeFile(lake.uri, f"{folder}/{start}.arrow")
        content = stored.read()
        if content is None:
            content = _to_bytes(_make_shard(settings, day, sources, behaviour, users, ends[users], popular))
            stored.write(content)
        yield from pa.ipc.open_stream(content)
        report_progress(min(start + USERS_AT_ONCE, len(active)), len(active))


def _hash_inputs(sources: Mapping[str, Source], behaviour: Behaviour, arrays: list[NDArray[Any]]) -> str:
    """A hash of everything that decides the lists: shards of other inputs are not read."""
    histories = behaviour.histories
    arrays = [*arrays, histories.offsets, histories.items]
    if histories.hidden_by is not None:
        arrays.append(histories.hidden_by)
    for ids in (behaviour.users, behaviour.items.ids):
        arrays += [np.frombuffer(buffer, np.uint8) for buffer in ids.buffers() if buffer]
    for source in sources.values():
        arrays += source.inputs
    return hash_inputs(f"{USERS_AT_ONCE} {[source.version for source in sources.values()]}", arrays)


def _to_bytes(batches: Iterator[pa.RecordBatch]) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, contracts()[TABLE].arrow, options=options) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return bytes(sink.getvalue())


def _make_shard(
    settings: Settings,
    day: date,
    sources: Mapping[str, Source],
    behaviour: Behaviour,
    users: Int64s,
    ends: Int64s,
    popular: Scored,
) -> Iterator[pa.RecordBatch]:
    """The rows of some users [users], whose histories end at `ends`."""
    k, has_items = settings.generator.k, np.zeros(len(users), bool)
    for name, source in sources.items():
        items, scores = source.find_items(behaviour.histories, users, ends, k)
        has_items |= items[:, 0] >= 0
        yield _build_rows(day, name, source.version, behaviour, users, items, scores)
    without, ends = users[~has_items], ends[~has_items]
    items, scores = _top_popular(popular, behaviour.histories, without, ends, k)
    yield _build_rows(day, POPULAR, build_version(settings, day, POPULAR), behaviour, without, items, scores)


def count_popular(histories: Histories, ends: Int64s, after: date) -> Scored:
    """Items by their number of events from the day after `after` to the ends [users], most popular first."""
    events = np.flatnonzero(histories.ts >= midnight_after(after))
    end = ends[np.searchsorted(histories.offsets, events, side="right") - 1]
    events, end = events[events < end], end[events < end]
    items, counts = np.unique(histories.items[events[~histories.is_hidden(events, end)]], return_counts=True)
    order = np.lexsort((items, -counts))
    return items[order].astype(np.int64), counts[order].astype(np.float32)


def _top_popular(popular: Scored, histories: Histories, users: Int64s, ends: Int64s, k: int) -> Scored:
    """The k most popular items that each user has not acted on, and their scores [users, k], filled up with -1."""
    items, scores = np.full((len(users), k), -1), np.zeros((len(users), k), np.float32)
    for row, (begin, end) in enumerate(zip(histories.offsets[users], ends, strict=True)):
        events = np.arange(begin, end)
        seen = histories.items[events[~histories.is_hidden(events, np.array(end))]]
        best = np.flatnonzero(~np.isin(popular[0], seen))[:k]
        items[row, : len(best)], scores[row, : len(best)] = popular[0][best], popular[1][best]
    return items, scores


def build_version(settings: Settings, day: date, source: str) -> str:
    """The version of a source that is not trained: day and settings say what its lists are."""
    return f"{day}-{settings.hash}-{source}"


def _build_rows(
    day: date, source: str, version: str, behaviour: Behaviour, users: Int64s, items: Int64s, scores: Floats
) -> pa.RecordBatch:
    """Rows of gold.generated from items [users, k] and their scores [users, k]. An item of -1 is none."""
    row, place = np.nonzero(items >= 0)
    columns = [
        behaviour.users.take(pa.array(users[row])),
        place + 1,
        behaviour.items.ids.take(pa.array(items[row, place])),
    ]
    columns += [scores[row, place], [source] * len(row), [version] * len(row), [day] * len(row)]
    contract = contracts()[TABLE].arrow
    arrays = (pa.array(values).cast(field.type) for values, field in zip(columns, contract, strict=True))
    return pa.record_batch(list(arrays), schema=contract)


def _last_inactive_day(settings: Settings, day: date) -> date:
    """The last day whose events do not make a user active any more."""
    return day - timedelta(days=settings.recommend.active_days)
