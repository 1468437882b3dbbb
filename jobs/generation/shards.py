"""The lists of a day in shards of users. A shard that is stored is not made again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from jobs.lake.contracts import contracts
from jobs.runtime.checkpoint import LakeFile
from models.generator.finders import FindItems, Scored, find_lists, make_popular_finder
from models.generator.graph import Floats
from models.ranker.histories import Histories, Int64s

TABLE = "gold.generated"
POPULAR = "popular"
USERS_AT_ONCE = 4096  # of a shard


@dataclass(frozen=True)
class Shards:
    """What the lists of a day are made from, and where they are stored until all are made.

    root, folder  address of the lake, and the folder below it
    k            largest number of items in a list
    versions     of the sources by name, and of the popular items
    users        IDs by index
    items        IDs by index
    histories    of all users
    ends         [users] where they end at the end of the day
    active       [active users] index of each
    popular      items by popularity, for users for whom no source finds anything
    """

    root: str
    folder: str
    day: date
    k: int
    versions: Mapping[str, str]
    users: pa.Array
    items: pa.Array
    histories: Histories
    ends: Int64s
    active: Int64s
    popular: Scored

    def places(self) -> list[range]:
        """The places of the users of each shard among the active users."""
        n = len(self.active)
        return [range(start, min(start + USERS_AT_ONCE, n)) for start in range(0, n, USERS_AT_ONCE)]

    def missing_places(self) -> list[range]:
        """The same for the shards that are not stored."""
        return [places for places in self.places() if not self._file(places).exists()]

    def make(self, places: range, finders: Mapping[str, FindItems]) -> Iterator[pa.RecordBatch]:
        """Rows of gold.generated of a shard. They are read if they are stored, otherwise made and stored.

        finders  of the sources by name
        """
        stored = self._file(places)
        content = stored.read()
        if content is None:
            content = _to_bytes(self._find(self.active[places.start : places.stop], finders))
            stored.write(content)
        yield from pa.ipc.open_stream(content)

    def _file(self, places: range) -> LakeFile:
        return LakeFile(self.root, f"{self.folder}/{places.start}-{places.stop}.arrow")

    def _find(self, users: Int64s, finders: Mapping[str, FindItems]) -> Iterator[pa.RecordBatch]:
        popular = POPULAR, make_popular_finder(self.popular)
        for source, listed, scored in find_lists(finders, popular, self.histories, users, self.ends[users], self.k):
            yield self._build_rows(source, listed, *scored)

    def _build_rows(self, source: str, users: Int64s, items: Int64s, scores: Floats) -> pa.RecordBatch:
        """Rows of gold.generated from items [users, k] and their scores [users, k]. An item of -1 is none."""
        row, place = np.nonzero(items >= 0)
        columns = [self.users.take(pa.array(users[row])), place + 1, self.items.take(pa.array(items[row, place]))]
        version = self.versions[source]
        columns += [scores[row, place], [source] * len(row), [version] * len(row), [self.day] * len(row)]
        contract = contracts()[TABLE].arrow
        arrays = (pa.array(values).cast(field.type) for values, field in zip(columns, contract, strict=True))
        return pa.record_batch(list(arrays), schema=contract)


def _to_bytes(batches: Iterator[pa.RecordBatch]) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, contracts()[TABLE].arrow, options=options) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return bytes(sink.getvalue())
