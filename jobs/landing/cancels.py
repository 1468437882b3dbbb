"""Which purchases were cancelled, and when: each cancel is matched with the purchase that it takes back.

A cancel belongs to purchases of the same user and item that came before it: to those of its `order_id` if there are
any, otherwise to the latest ones that nobody has cancelled yet. It takes back as many units as its quantity (`value`,
with or without a minus sign) says, the latest purchase first. A purchase is cancelled when all of its units are taken
back. If a quantity is unknown, a cancel takes back one whole purchase.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa

from jobs.lake import Lake

CANCELLED = pa.schema(
    {name: pa.string() for name in ("event", "event_id", "user_id", "item_id")}
    | {"ts": pa.timestamp("us", "UTC"), "day": pa.date32(), "cancelled_at": pa.timestamp("us", "UTC")}
)
CANCELLED_DDL = (  # the same for Spark
    "event STRING, event_id STRING, user_id STRING, item_id STRING, ts TIMESTAMP, day DATE, cancelled_at TIMESTAMP"
)
COLUMNS = "event, event_id, user_id, item_id, ts, day, value, order_id, seq"
# What match_cancels reads. Few items of a user have a cancel. The others are left out.
QUERY = f"""
SELECT {COLUMNS} FROM {{events}}
SEMI JOIN (
  SELECT DISTINCT user_id, item_id FROM {{events}}
  WHERE event = 'cancel' AND user_id IS NOT NULL AND day >= :first AND day <= :last
) c USING (user_id, item_id)
WHERE event IN ('purchase', 'cancel') AND day >= :first AND day <= :last
"""
TINY = 1e-9  # units; sums of fractions such as 0.1 kg are not exact


@dataclass
class _Purchase:
    """A purchase, and how many of its units are not taken back yet (None: unknown)."""

    row: int
    units: float | None
    is_cancelled: bool = False


def load_cancelled(lake: Lake, first: date, last: date) -> pa.Table:
    """The purchases of known users that were cancelled, by the purchases and cancels from `first` to `last`.

    returns  rows of the schema CANCELLED: the purchase, and when its last unit was taken back
    """
    return match_cancels(lake.query(QUERY.format(events="silver.histories"), first=first, last=last))


def register_cancelled(lake: Lake, first: date, last: date, view: str = "cancelled") -> None:
    """Register the cancelled purchases as a view, for the SQL of sql/transforms."""
    cancelled = lake.spark.createDataFrame(load_cancelled(lake, first, last), CANCELLED_DDL)
    cancelled.createOrReplaceTempView(view)


def match_cancels(events: pa.Table) -> pa.Table:
    """Match cancels with purchases.

    events   purchases and cancels of known users, with the columns COLUMNS, in any order
    returns  rows of the schema CANCELLED
    """
    order = [(name, "ascending") for name in ("user_id", "item_id", "ts", "seq", "event_id")]
    order.insert(3, ("event", "descending"))  # a purchase comes before a cancel at the same moment
    events = events.sort_by(order)
    columns = [events[name].to_pylist() for name in ("user_id", "item_id", "event", "order_id", "value")]
    rows = zip(range(events.num_rows), *columns, strict=True)
    pairs = [pair for _, of_item in groupby(rows, itemgetter(1, 2)) for pair in _match_events_of_item(of_item)]
    purchases = events.take(pa.array([purchase for purchase, _ in pairs], pa.int64()))
    cancels = events["ts"].take(pa.array([cancel for _, cancel in pairs], pa.int64()))
    return purchases.append_column("cancelled_at", cancels).select(CANCELLED.names).cast(CANCELLED)


def _match_events_of_item(events: Iterator[tuple[Any, ...]]) -> Iterator[tuple[int, int]]:
    """Pairs of rows, a cancelled purchase and its cancel, from the events of one user and item in order of time."""
    purchases: list[_Purchase] = []
    orders: dict[str, list[_Purchase]] = {}
    for row, _, _, event, order, value in events:
        quantity = abs(value) if value else None
        if event == "cancel":
            candidates = orders.get(order, purchases) if order else purchases
            yield from ((purchase, row) for purchase in _take_back(candidates, quantity))
            continue
        purchases.append(_Purchase(row, quantity))
        if order:
            orders.setdefault(order, []).append(purchases[-1])


def _take_back(purchases: list[_Purchase], quantity: float | None) -> Iterator[int]:
    """Take back so many units of the latest purchases. yields the rows of purchases that are cancelled by that"""
    while purchases:
        latest = purchases[-1]
        if latest.is_cancelled:
            purchases.pop()
        elif quantity is not None and latest.units is not None and quantity < latest.units - TINY:
            latest.units -= quantity
            return
        else:
            latest.is_cancelled = True
            yield latest.row
            if quantity is None or latest.units is None or quantity <= latest.units + TINY:
                return
            quantity -= latest.units
