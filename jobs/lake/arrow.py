"""Build Arrow and NumPy arrays from a stream of parts, so that the parts never need to be in memory all at once."""

from collections.abc import Callable, Iterable, Iterator, Set

import pyarrow as pa
import pyarrow.compute as pc

MOST_BYTES = 1 << 28  # of a part of a stream, to limit memory


def rows_with_keys(batch: pa.RecordBatch, key: list[str], wanted: Set[tuple[str, ...]]) -> pa.RecordBatch:
    """Keep the rows of a batch [rows] whose key is among the wanted ones.

    A look-up in a set costs the same however many keys are wanted. A join would build its table for each batch again.

    key     names of the columns that make up the key
    wanted  keys, each with one value for each of these columns
    """
    keys = zip(*(batch[name].to_pylist() for name in key), strict=True)
    return batch.filter(pa.array([values in wanted for values in keys], pa.bool_()))


def merge_stream(parts: Iterable[pa.Array], merge: Callable[[list[pa.Array]], pa.Array]) -> pa.Array:
    """Merge all parts, in memory that grows with the result and not with the number of parts.

    Parts wait until they have more rows than the result so far, and are then merged into it. So a merge reads at most
    twice the rows that have arrived since the last one, and the total time is linear in the rows of all parts.

    merge  makes one part from several, and an empty part from none
    """
    merged = merge([])
    waiting: list[pa.Array] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) > len(merged):
            merged = merge([merged, *waiting])
            waiting.clear()
    return merge([merged, *waiting])


def large_parts(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Join the batches of a stream into tables of at least `rows` rows, or of `MOST_BYTES`. The last may have fewer.

    Arrow makes a hash table of all known IDs each time that it looks up a column. If a part has as many rows as there
    are IDs, this costs no more than the rows themselves, however many IDs there are.
    """
    waiting, count, size = list[pa.Table](), 0, 0
    for batch in batches:
        waiting.append(pa.Table.from_batches([batch]))
        count, size = count + len(batch), size + batch.nbytes
        if count >= rows or size >= MOST_BYTES:
            yield pa.concat_tables(waiting, promote_options="default")
            waiting, count, size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting, promote_options="default")


def distinct_strings(parts: Iterable[pa.Array]) -> pa.Array:
    """Return the distinct strings of all parts [rows each], sorted: [distinct strings]."""

    def merge(arrays: list[pa.Array]) -> pa.Array:
        return pc.unique(pa.chunked_array(arrays, pa.string()))

    distinct = merge_stream(map(pc.unique, parts), merge)
    return distinct.take(pc.sort_indices(distinct))
