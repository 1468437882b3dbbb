"""The lists of `generate`: for every active user the best items of each source, or else popular items.

In this process and its workers they are made in shards of users, and each shard is stored when it is made: a run that
was killed goes on with the next. Spark's executors make them otherwise (lists_on_spark.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.generation import list_worker
from jobs.generation.behaviour import Behaviour, midnight_after
from jobs.generation.shards import POPULAR, Shards
from jobs.lake import Lake
from jobs.lake.arrow import distinct_strings
from jobs.runtime.checkpoint import hash_inputs
from jobs.runtime.progress import progress
from jobs.runtime.workers import count_workers
from jobs.settings.tree import Settings
from models.generator.finders import FindItems, Scored
from models.ranker.histories import Histories, Int64s


@dataclass(frozen=True)
class Source:
    """What finds items.

    version  for gold.generated
    save     writes into a folder what `list_worker.load_finder` rebuilds find_items from
    inputs   arrays that decide what it finds, beside the version and the histories
    """

    version: str
    find_items: FindItems
    save: Callable[[Path], None]
    inputs: Sequence[NDArray[Any]] = ()


def find_visitors(lake: Lake, settings: Settings, day: date) -> pa.Array:
    """The IDs of users who did or saw anything in the last `[recommend] active_days` days, sorted."""
    where = (ds.field("day") > last_inactive_day(settings, day)) & (ds.field("day") <= day)
    batches = lake.batches("silver.events", ["user_id"], where & ds.field("user_id").is_valid())
    return distinct_strings(batch["user_id"] for batch in batches)


def count_visitors(lake: Lake, settings: Settings, day: date) -> int:
    """The number of users that `find_visitors` finds."""
    text = """SELECT count(DISTINCT user_id) AS n FROM silver.events WHERE day > :after AND day <= :day"""
    answer = lake.query(text, after=last_inactive_day(settings, day), day=day)
    return int(answer["n"][0].as_py())


def plan_shards(
    lake: Lake,
    settings: Settings,
    day: date,
    sources: Mapping[str, Source],
    behaviour: Behaviour,
    visitors: pa.Array,
    popular: Scored,
) -> Shards:
    """What the lists are made from. Nothing that happened after the day counts.

    sources    by name
    behaviour  of the visitors, and of any other users
    visitors   IDs [users], sorted: they get lists
    """
    active = pc.index_in(visitors, behaviour.users).to_numpy().astype(np.int64)
    ends = behaviour.ends(day)
    inputs = _hash_inputs(sources, behaviour, [active, ends, *popular])
    return Shards(
        root=lake.root,
        folder=f"models/unfinished/generate/{day}/lists-{inputs}",
        day=day,
        k=settings.generator.k,
        versions=list_versions(settings, day, sources),
        users=behaviour.users,
        items=behaviour.items.ids,
        histories=behaviour.histories,
        ends=ends,
        active=active,
        popular=popular,
    )


def make_in_workers(settings: Settings, shards: Shards, sources: Mapping[str, Source]) -> None:
    """Make and store the shards that are missing, if the settings ask for several workers.

    raises  UserError with the sentence of a worker that failed
    """
    workers = min(count_workers(settings.generator.workers), len(shards.missing_places()))
    if workers > 1:
        list_worker.run(workers, shards, {name: source.save for name, source in sources.items()})


def make_lists(shards: Shards, sources: Mapping[str, Source]) -> Iterator[pa.RecordBatch]:
    """Rows of gold.generated, in parts. Shards that are not stored are made."""
    finders = {name: source.find_items for name, source in sources.items()}
    report_progress = progress("generating for users")
    for places in shards.places():
        yield from shards.make(places, finders)
        report_progress(places.stop, len(shards.active))


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
    return hash_inputs(f"{[source.version for source in sources.values()]}", arrays)


def list_versions(settings: Settings, day: date, sources: Mapping[str, Source]) -> dict[str, str]:
    """The versions of the sources by name, and of the popular items."""
    versions = {name: source.version for name, source in sources.items()}
    return versions | {POPULAR: build_version(settings, day, POPULAR)}


def find_popular(settings: Settings, day: date, behaviour: Behaviour, is_listed: NDArray[np.bool_]) -> Scored:
    """Items of the last `[recommend] active_days` days by their number of events, most popular first.

    is_listed  [items] bool, whether a list can hold an item
    """
    items, counts = count_popular(behaviour.histories, behaviour.ends(day), last_inactive_day(settings, day))
    return items[is_listed[items]], counts[is_listed[items]]


def count_popular(histories: Histories, ends: Int64s, after: date) -> Scored:
    """Items by their number of events from the day after `after` to the ends [users], most popular first."""
    events = np.flatnonzero(histories.ts >= midnight_after(after))
    end = ends[np.searchsorted(histories.offsets, events, side="right") - 1]
    events, end = events[events < end], end[events < end]
    items, counts = np.unique(histories.items[events[~histories.is_hidden(events, end)]], return_counts=True)
    order = np.lexsort((items, -counts))
    return items[order].astype(np.int64), counts[order].astype(np.float32)


def build_version(settings: Settings, day: date, source: str) -> str:
    """The version of a source that is not trained: day and settings say what its lists are."""
    return f"{day}-{settings.hash}-{source}"


def last_inactive_day(settings: Settings, day: date) -> date:
    """The last day whose events do not make a user active any more."""
    return day - timedelta(days=settings.recommend.active_days)
