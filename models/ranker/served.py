"""A ranker as other processes serve it: a folder of files, and lists for batches of users."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from models.arrow_histories import load_ids, read_histories, save_ids
from models.candidates import CandidateSources, Lists
from models.precision import device
from models.ranker.event_kinds import SHOWN_ONLY
from models.ranker.histories import Histories
from models.ranker.lists import Order, PairScorer, Search, rank_candidates
from models.ranker.model import Ranker
from models.ranker.rates import Counts, Totals
from models.ranker.samples import search_histories
from models.ranker.saved import load, save
from models.ranker.similar_rates import SimilarRates

MODEL, ITEMS, OPTIONS = "model", "items.arrow", "options.json"
LIST_SCHEMA = pa.schema(
    {"user_id": pa.string(), "rank": pa.int32(), "item_id": pa.string(), "score": pa.float64()}
    | {"sources": pa.list_(pa.string())}
)


@dataclass(frozen=True)
class Options:
    """Settings of the lists, and what they are made from beside arrays.

    k, order        as for `rank_candidates`
    triggers, count, exclude_seen  as for `CandidateSources`
    generated       names of the sources whose lists come with the users, in the order of their numbers
    source_names    names of all sources, by number
    max_history     number of events that the search reads
    moment          as for `PairScorer`
    shown, taken    events of all users together, for the running rates
    reads_shown     whether the model reads what users were shown
    searches_shown  whether it also searches these events
    """

    k: int
    order: Order
    triggers: int
    count: int
    exclude_seen: bool
    generated: tuple[str, ...]
    source_names: tuple[str, ...]
    max_history: int
    moment: int
    shown: int
    taken: int
    reads_shown: bool
    searches_shown: bool


@dataclass(frozen=True)
class Served:
    """A model, and what it needs beside the users.

    items   IDs by index
    arrays  vectors and categories that the search reads [items, ...]; the pairs of each item (pair_offsets, pairs),
            neighbours [items, n], popular; shown and taken [items] for the running rates
    """

    model: Ranker
    items: pa.Array
    arrays: dict[str, NDArray[Any]]
    options: Options

    def save(self, folder: Path) -> None:
        """Write files that `load` reads into an empty folder."""
        (folder / MODEL).mkdir()
        save(self.model, folder / MODEL)
        for name, array in self.arrays.items():
            np.save(folder / f"{name}.npy", array)
        save_ids(self.items, str(folder / ITEMS))
        (folder / OPTIONS).write_text(json.dumps(vars(self.options)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote. Arrays stay in their files, which the processes of a machine share."""
        model = load(folder / MODEL).to(device()).eval()
        arrays = {file.stem: np.load(file, mmap_mode="c") for file in folder.glob("*.npy")}
        values = json.loads((folder / OPTIONS).read_text())
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(model, load_ids(str(folder / ITEMS)), arrays, Options(**values | lists))

    def rank(self, users: pa.RecordBatch) -> pa.RecordBatch:
        """The lists of some users.

        users    user_id; events, the history, a list of (ts, seq, item, kind) in this order; shown and taken, their
                 counts for the running rates; generated, a list of (source, rank, item), or null
        returns  user_id, rank, item_id, score, sources
        """
        options, all_users = self.options, np.arange(len(users))
        shown = read_histories(users["events"])
        histories = _leave_out(shown, SHOWN_ONLY) if options.reads_shown else shown
        totals = Totals(self._count(users, "shown", options.shown), self._count(users, "taken", options.taken))
        scorer = PairScorer(
            self.model, self._build_search(), self._build_similar_rates(), histories, shown, options.searches_shown,
            totals, options.moment,
        )  # fmt: skip
        sources = self._build_sources(_read_generated(users["generated"], options.generated))
        user, rank, item, score, found_by = rank_candidates(scorer, all_users, sources, options.k, options.order)
        columns = {
            "user_id": users["user_id"].take(pa.array(user)), "rank": rank,
            "item_id": self.items.take(pa.array(item)), "score": score.astype(np.float64),
            "sources": name_sources(found_by, options.source_names),
        }  # fmt: skip
        return pa.RecordBatch.from_pydict(columns, LIST_SCHEMA)

    def _count(self, users: pa.RecordBatch, name: str, everyone: int) -> Counts:
        return Counts(np.array([everyone]), users[name].to_numpy().astype(np.int64), self.arrays[name])

    def _build_search(self) -> Search:
        vectors, categories = self._load_items()
        limit, design = self.options.max_history, self.model.design
        return partial(search_histories, design, vectors=vectors, categories=categories, max_history=limit)

    def _build_similar_rates(self) -> SimilarRates:
        return SimilarRates.of_task(self.model.tasks[0], *self._load_items(), self.options.max_history)

    def _load_items(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The vectors and categories of items, on the model's device."""
        vectors, categories = (torch.from_numpy(self.arrays[name]).to(device()) for name in ("vectors", "categories"))
        return vectors, categories

    def _build_sources(self, generated: Sequence[Lists]) -> CandidateSources:
        options, pairs = self.options, Lists(self.arrays["pair_offsets"], self.arrays["pairs"])
        return CandidateSources(
            pairs, self.arrays["neighbours"], generated, self.arrays["popular"], options.triggers, options.count,
            options.exclude_seen,
        )  # fmt: skip


@lru_cache(maxsize=1)  # a process that serves for days keeps the newest model alone
def load_served(folder: Path) -> Served:
    """What `Served.save` wrote, loaded once in each process."""
    return Served.load(folder)


def name_sources(found_by: NDArray[np.generic], names: Sequence[str]) -> pa.Array:
    """The names of the sources whose bits are set [rows]."""
    subsets = [[name for bit, name in enumerate(names) if bits >> bit & 1] for bits in range(1 << len(names))]
    return pa.array(subsets, pa.list_(pa.string())).take(pa.array(found_by))


def _leave_out(histories: Histories, kinds: Sequence[int]) -> Histories:
    assert histories.kinds is not None
    kept = ~np.isin(histories.kinds, kinds)
    offsets = np.concatenate([[0], np.cumsum(kept)])[histories.offsets]
    return Histories(offsets, histories.items[kept], histories.ts[kept], histories.kinds[kept])


def _read_generated(lists: pa.ListArray, sources: Sequence[str]) -> list[Lists]:
    """The items of each user, best first, of each source. lists: (source, rank, item), in this order, or null"""
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    values, user = lists.flatten(), np.repeat(np.arange(len(lists)), lengths)
    source, item = values.field("source").to_numpy(zero_copy_only=False), values.field("item").to_numpy()
    of_source = [source == name for name in sources]
    return [Lists.from_pairs(user[rows], item[rows].astype(np.int64), len(lists)) for rows in of_source]
