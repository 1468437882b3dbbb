"""Learn the item vectors of a day from what users did, for gold.item_behaviour.

A day learns from its events and those before. It starts from the newest vectors of a day before and turns its own onto
them, so that a codebook of older vectors still suits the new ones.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from jobs.codebooks.behaviour import DIM, TABLE, VERSION, ItemBehaviour, load_behaviour
from jobs.encoders.vectors import vectors_column
from jobs.lake import Lake, UserError
from jobs.lake.arrow import distinct_strings, large_parts
from jobs.lake.contracts import contracts
from jobs.lake.run_state import check_nothing_newer_is_replaced, share
from jobs.landing.cancels import load_cancelled
from jobs.ranking.event_log import HISTORIES, read_positive_events, read_without
from jobs.ranking.user_sample import keep_sampled
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings
from models import collaborative
from models.precision import device
from models.ranker.histories import Int64s

COLD_EPOCHS = 30  # of a training without older vectors
WARM_EPOCHS = 5  # of a training that starts from the vectors of a day before


def learn_behaviour(lake: Lake, settings: Settings, day: date) -> None:
    """Train the vectors of a day, and replace the day's rows of gold.item_behaviour.

    raises  UserError if no known user clicked, bought or liked anything, if training diverged, or if another run has
            written these vectors from newer events
    """
    event_days = [past for past in lake.partition_days("silver.events") if past <= day]
    check_nothing_newer_is_replaced(lake, TABLE, [day], event_days)
    share(lake, day, TABLE)  # start from the newest vectors, also if another run has written them meanwhile
    items, users, edges = _load_edges(lake, settings, day)
    before, after = _find_neighbouring_days(lake, day)
    older = load_behaviour(lake, before) if before else None
    start = older.place(items) if older else None
    try:
        learned = collaborative.fit(
            *edges, len(users), len(items), kind="lightgcn", dim=DIM, seed=settings.quantizer.seed, device=device(),
            epochs=WARM_EPOCHS if older else COLD_EPOCHS, start=start,
            progress=progress("learning item vectors from behaviour"),
        )  # fmt: skip
    except FloatingPointError as error:
        raise UserError(
            f"no item vectors can be learned from what users did until {day}: {error}; give another [quantizer] seed,"
            " or set [quantizer] vectors to text"
        ) from None
    vectors = learned.vectors.cpu()
    if start is not None:
        vectors = collaborative.turn_onto(vectors, start)
    elif after:  # The day runs late. It learns nothing from a later day but how the axes lie.
        vectors = collaborative.turn_onto(vectors, load_behaviour(lake, after).place(items))
    lake.replace(TABLE, _build_rows(items, vectors, edges[1], older, day), behaviour_version=VERSION, day=day)


def _find_neighbouring_days(lake: Lake, day: date) -> tuple[date | None, date | None]:
    """The newest day before a day, and the oldest day after it, that have vectors."""
    partitions = (part for part in lake.delta(TABLE).partitions() if part["behaviour_version"] == VERSION)
    days = sorted(date.fromisoformat(part["day"]) for part in partitions)
    earlier, later = [past for past in days if past < day], [future for future in days if future > day]
    return earlier[-1] if earlier else None, later[0] if later else None


def _load_edges(lake: Lake, settings: Settings, day: date) -> tuple[pa.Array, pa.Array, tuple[Int64s, Int64s]]:
    """Which users of the sample acted on which items in the last days.

    returns  item IDs and user IDs, sorted; and the index of the user and of the item of each edge [edges]
    raises   UserError if there is no edge
    """
    since = day - timedelta(days=settings.quantizer.behaviour_days - 1)
    version = lake.delta(HISTORIES).version()
    read_all = partial(read_positive_events, lake, settings, day, since=since, version=version)
    cancelled = load_cancelled(lake, date.min, day)

    def read(columns: list[str]) -> Iterator[pa.RecordBatch]:
        batches = read_without(read_all, cancelled, list(dict.fromkeys(["user_id", *columns])))
        return keep_sampled(settings.logs.user_share, batches)

    items, users = (distinct_strings(batch[name] for batch in read([name])) for name in ("item_id", "user_id"))
    if not len(items):
        raise UserError(
            f"no item has a vector from behaviour: no known user clicked, bought or liked anything from {since} to"
            f" {day}; land these days, raise [quantizer] behaviour_days, or set [quantizer] vectors to text"
        )
    edges = [np.zeros(0, np.int64)]  # of each part, as one number: user * items + item
    for part in large_parts(read(["user_id", "item_id"]), len(users) + len(items)):
        user, item = (pc.index_in(part[name], ids) for name, ids in (("user_id", users), ("item_id", items)))
        edges.append(np.unique(user.to_numpy().astype(np.int64) * len(items) + item.to_numpy()))
    return items, users, np.divmod(np.unique(np.concatenate(edges)), len(items))


def _build_rows(
    items: pa.Array, vectors: Tensor, edge_items: Int64s, older: ItemBehaviour | None, day: date
) -> pa.Table:
    """The day's rows of gold.item_behaviour."""
    since = np.full(len(items), np.datetime64(day))
    if older:
        row = older.find_rows(items)
        since[row >= 0] = older.since[row[row >= 0]]
    columns = [
        items, [VERSION] * len(items), vectors_column(vectors.numpy()), np.bincount(edge_items, minlength=len(items)),
        since, [day] * len(items),
    ]  # fmt: skip
    return pa.table(dict(zip(contracts()[TABLE].names, columns, strict=True)))
