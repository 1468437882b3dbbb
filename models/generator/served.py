"""What makes lists ahead of time, as other processes use it: a folder of files, and lists for batches of users."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from models.arrow_histories import load_ids, read_histories, save_ids
from models.generator.finders import FindItems, Scored, find_lists, load_finder, make_popular_finder

LIST_SCHEMA = pa.schema(
    {"user_id": pa.string(), "rank": pa.int32(), "item_id": pa.string(), "score": pa.float64()}
    | {"source": pa.string()}
)
ITEMS, OPTIONS, POPULAR, COUNTS = "items.arrow", "options.json", "popular.npy", "counts.npy"


@dataclass(frozen=True)
class ServedLists:
    """The sources of the lists.

    items    IDs by index
    k        the largest number of items in a list
    finders  of the sources, by name
    popular  name of the source that lists items for users for whom no other source finds anything, and what it finds
    """

    items: pa.Array
    k: int
    finders: Mapping[str, FindItems]
    popular: tuple[str, FindItems]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save_sources` wrote."""
        options = json.loads((folder / OPTIONS).read_text())
        popular = make_popular_finder((np.load(folder / POPULAR), np.load(folder / COUNTS)))
        finders = {name: load_finder(folder / name) for name in options["sources"]}
        return cls(load_ids(str(folder / ITEMS)), options["k"], finders, (options["popular"], popular))

    def find(self, users: pa.RecordBatch) -> pa.Table:
        """The lists of some users.

        users    user_id; events, the history, a list of (ts, seq, item, kind) in this order
        returns  user_id, rank, item_id, score, source
        """
        histories, everyone = read_histories(users["events"]), np.arange(len(users))
        lists = find_lists(self.finders, self.popular, histories, everyone, histories.offsets[1:], self.k)
        return pa.Table.from_batches(
            [
                self._build_rows(source, users["user_id"].take(pa.array(listed)), scored)
                for source, listed, scored in lists
            ]
        )

    def _build_rows(self, source: str, user_ids: pa.Array, scored: Scored) -> pa.RecordBatch:
        items, scores = scored
        row, place = np.nonzero(items >= 0)
        columns = {
            "user_id": user_ids.take(pa.array(row)), "rank": place + 1,
            "item_id": self.items.take(pa.array(items[row, place])), "score": scores[row, place].astype(np.float64),
            "source": [source] * len(row),
        }  # fmt: skip
        return pa.RecordBatch.from_pydict(columns, LIST_SCHEMA)


def save_sources(
    folder: Path, items: pa.Array, k: int, savers: Mapping[str, Callable[[Path], None]], popular: tuple[str, Scored]
) -> None:
    """Write files that `ServedLists.load` reads into an empty folder.

    savers   by source: write into a folder what `finders.load_finder` reads
    popular  name of the source of popular items; these items and their scores, best first
    """
    for source, save in savers.items():
        (folder / source).mkdir()
        save(folder / source)
    name, (best_items, counts) = popular
    np.save(folder / POPULAR, best_items)
    np.save(folder / COUNTS, counts)
    save_ids(items, str(folder / ITEMS))
    options: dict[str, int | str | Sequence[str]] = {"k": k, "sources": list(savers), "popular": name}
    (folder / OPTIONS).write_text(json.dumps(options))


@lru_cache(maxsize=1)  # a process that serves for days keeps the newest sources alone
def load_served_lists(folder: Path) -> ServedLists:
    """What `save_sources` wrote, loaded once in each process."""
    return ServedLists.load(folder)
