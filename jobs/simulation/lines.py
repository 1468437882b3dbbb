"""Simulated events as lines of the landing format, or as an Arrow table for Parquet.

Built column by column: every column is a small table of ready pieces of text, taken by index and joined.
"""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.simulator.rows import EVENTS, MALFORMED, PURCHASE, Rows

SECONDS = pa.array([f"T{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}Z" for s in range(86_400)])
QUANTITIES, POSITIONS = range(8), range(64)
DIGITS = 7  # of users and items in their names


def item_id(number: int) -> str:
    return f"i{number:0{DIGITS}}"


def lines(rows: Rows, prices: NDArray[np.float64]) -> pa.Buffer:
    """JSON Lines, each ended by a newline; absent fields are left out, malformed rows are cut in half.

    prices  [items], for the purchases
    """
    asks = rows.request >= 0
    buys = (rows.event == PURCHASE) & (rows.item >= 0)
    price = pa.array(prices).cast(pa.string())
    made = _stamps(rows.made, '{{"event_id": "{:%Y%m%d}-')
    request = _stamps(np.where(asks, rows.made, -1), ', "request_id": "r{:%Y%m%d}-')
    order = _stamps(np.where(rows.order >= 0, rows.made, -1), ', "order_id": "o{:%Y%m%d}-')
    day = _stamps(np.where(rows.second >= 0, rows.day, -1), ', "ts": "{:%Y-%m-%d}')
    joined = pc.binary_join_element_wise(
        made, _digits(rows.number), '"',
        _take(_names(', "user_id": "u', rows.user, '"'), rows.user),
        _take(_names(', "item_id": "i', rows.item, '"'), rows.item),
        _take([f', "event": "{event}"' for event in EVENTS], rows.event),
        day, _take(pc.binary_join_element_wise(SECONDS, '"', ""), rows.second),
        _take([f', "value": {n}' for n in QUANTITIES], rows.value),
        _take(pc.binary_join_element_wise(', "price": ', price, ""), np.where(buys, rows.item, -1)),
        request, _digits(rows.request),
        _take([f'", "position": {n}' for n in POSITIONS], np.where(asks, rows.position, -1)),
        order, _digits(rows.order), _take(["", '"'], (rows.order >= 0).astype(np.int8)),
        "}\n", "", null_handling="skip",
    )  # fmt: skip
    return _text(joined, rows.fate == MALFORMED)


def _text(joined: pa.Array, malformed: NDArray[np.bool_]) -> pa.Buffer:
    if malformed.any():
        halves = pc.binary_join_element_wise(pc.utf8_slice_codeunits(joined, 0, 60), "\n", "")
        joined = pc.if_else(pa.array(malformed), halves, joined)
    return joined.buffers()[2]


def table(rows: Rows, prices: NDArray[np.float64]) -> pa.Table:
    """The same rows typed; malformed ones must have been left out, as Parquet cannot hold them."""
    asks, orders = rows.request >= 0, rows.order >= 0
    ts = (rows.day.astype(np.int64) - date(1970, 1, 1).toordinal()) * 86_400 + rows.second
    buys = (rows.event == PURCHASE) & (rows.item >= 0)
    named = {
        "event_id": pc.binary_join_element_wise(_stamps(rows.made, "{:%Y%m%d}-"), _digits(rows.number), ""),
        "user_id": _take(_names("u", rows.user), rows.user),
        "item_id": _take(_names("i", rows.item), rows.item),
        "event": _take(list(EVENTS), rows.event),
        "ts": pa.array(ts * 1_000_000, pa.timestamp("us", "UTC"), mask=rows.second < 0),
        "value": pa.array(rows.value.astype(np.float64), mask=rows.value < 0),
        "price": _take(pa.array(prices), np.where(buys, rows.item, -1)),
        "request_id": pc.binary_join_element_wise(
            _stamps(np.where(asks, rows.made, -1), "r{:%Y%m%d}-"), _digits(rows.request), ""
        ),
        "position": pa.array(rows.position.astype(np.int32), mask=~asks),
        "order_id": pc.binary_join_element_wise(
            _stamps(np.where(orders, rows.made, -1), "o{:%Y%m%d}-"), _digits(rows.order), ""
        ),
    }
    return pa.table(named)


def item_line(number: int, text: dict[str, Any], day: date) -> dict[str, Any]:
    return {"item_id": item_id(number), **text, "updated_at": f"{day}T00:00:00Z"}


def _take(pieces: Any, index: NDArray[Any]) -> pa.Array:
    array = pa.array(pieces) if isinstance(pieces, list) else pieces
    return array.take(pa.array(index, mask=index < 0))


def _digits(number: NDArray[Any]) -> pa.Array:
    return pa.array(number, mask=number < 0).cast(pa.string())


def _names(before: str, index: NDArray[Any], after: str = "") -> pa.Array:
    count = pa.array(np.arange(int(index.max(initial=0)) + 1)).cast(pa.string())
    return pc.binary_join_element_wise(before, pc.utf8_lpad(count, DIGITS, "0"), after, "")


def _stamps(day: NDArray[Any], form: str) -> pa.Array:
    """Each day (ordinal, -1 absent) in the given form."""
    first, last = int(day[day >= 0].min(initial=day.max(initial=0))), int(day.max(initial=0))
    names = [form.format(date.fromordinal(max(first, 1)) + timedelta(days=n)) for n in range(last - first + 1)]
    return _take(names, np.where(day < 0, -1, day - first))
