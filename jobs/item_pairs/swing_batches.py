"""Swing scores of Arrow batches. Spark runs this code on its executors."""

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.item_pairs.settings import Pairs
from jobs.runtime.executors import send_with_tasks
from models import swing

ITEMS_PER_BATCH = 1000  # an item at all caps takes 16 kB
SCORES = pa.schema([("item", pa.int32()), ("other", pa.int32()), ("score", pa.float64())])
NEW_PAIRS = pa.schema([("item_a", pa.string()), ("item_b", pa.string()), ("score", pa.float64())])
SCORES_DDL = "item INT, other INT, score DOUBLE"  # the same for Spark
send_with_tasks(__name__)
send_with_tasks(swing.__name__)


def make_swing_scorer(caps: Pairs) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """A function from rows `item, users` to rows `item, other, score`: the closest other items of each item."""
    alpha, pairs_per_item = caps.alpha, caps.pairs_per_item

    def score_batches(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            yield from _score_batch(batch, alpha, pairs_per_item).to_batches()  # none if no item has a pair

    return score_batches


def _score_batch(batch: pa.RecordBatch, alpha: float, pairs_per_item: int) -> pa.Table:
    """Score one batch. It slices the columns by their offsets: Python objects would cost more than the sums."""
    targets, users = batch["item"].to_numpy(), batch["users"]
    weights, lists = users.flatten().field("weight").to_numpy(), users.flatten().field("items")
    user_offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(users).to_numpy())])
    lengths = pc.list_value_length(lists).to_numpy()
    entry_offsets = np.concatenate([[0], np.cumsum(lengths)])
    entries = lists.flatten().to_numpy()
    tables = [SCORES.empty_table()]
    for target, start, end in zip(targets, user_offsets[:-1], user_offsets[1:], strict=True):
        items = entries[entry_offsets[start] : entry_offsets[end]]
        others, scores = swing.score_items(items, lengths[start:end], weights[start:end], alpha)
        others, scores = others[others != target], scores[others != target]
        best = swing.top_places(others, scores, pairs_per_item)
        tables.append(pa.table([np.full(len(best), target), others[best], scores[best]], schema=SCORES))
    return pa.concat_tables(tables).combine_chunks()
