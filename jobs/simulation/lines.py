"""Simulated events as lines of the landing format, or as an Arrow table for Parquet.

Both are built column by column, without a Python loop over rows: a column is a small table of ready-made texts, from
which each row takes one by its index.
"""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.simulator.rows import EVENTS, MALFORMED, PURCHASE, Rows

CLOCK_TIMES = pa.array([f"T{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}Z" for s in range(86_400)])
QUANTITIES, POSITIONS = range(8), range(64)
ID_DIGITS = 7  # of the number in a user_id or item_id
MALFORMED_LENGTH = 60  # characters that are left of a malformed line


def build_event_lines(rows: Rows, prices: NDArray[np.float64]) -> pa.Buffer:
    """Rows as JSON Lines, each with a newline. Absent fields are left out; malformed rows are cut off in the middle.

    prices  [items], for the purchases
    """
    has_request, has_order = rows.request >= 0, rows.order >= 0
    is_priced = (rows.event == PURCHASE) & (rows.item >= 0)
    price = pa.array(prices).cast(pa.string())
    joined = pc.binary_join_element_wise(
        _format_days(rows.landed_day, '{{"event_id": "{:%Y%m%d}-'), _format_numbers(rows.number), '"',
        _take(_list_ids(', "user_id": "u', rows.user, '"'), rows.user),
        _take(_list_ids(', "item_id": "i', rows.item, '"'), rows.item),
        _take([f', "event": "{event}"' for event in EVENTS], rows.event),
        _format_days(np.where(rows.second >= 0, rows.day, -1), ', "ts": "{:%Y-%m-%d}'),
        _take(pc.binary_join_element_wise(CLOCK_TIMES, '"', ""), rows.second),
        _take([f', "value": {n}' for n in QUANTITIES], rows.value),
        _take(pc.binary_join_element_wise(', "price": ', price, ""), np.where(is_priced, rows.item, -1)),
        _format_days(np.where(has_request, rows.landed_day, -1), ', "request_id": "r{:%Y%m%d}-'),
        _format_numbers(rows.request),
        _take([f'", "position": {n}' for n in POSITIONS], np.where(has_request, rows.position, -1)),
        _format_days(np.where(has_order, rows.landed_day, -1), ', "order_id": "o{:%Y%m%d}-'),
        _format_numbers(rows.order), _take(["", '"'], has_order.astype(np.int8)),
        "}\n", "", null_handling="skip",
    )  # fmt: skip
    return _cut_malformed(joined, rows.fate == MALFORMED).buffers()[2]


def _cut_malformed(lines: pa.Array, is_malformed: NDArray[np.bool_]) -> pa.Array:
    if not is_malformed.any():
        return lines
    cut = pc.binary_join_element_wise(pc.utf8_slice_codeunits(lines, 0, MALFORMED_LENGTH), "\n", "")
    return pc.if_else(pa.array(is_malformed), cut, lines)


def build_event_table(rows: Rows, prices: NDArray[np.float64]) -> pa.Table:
    """Rows as a typed table. The caller leaves out malformed rows, which Parquet cannot hold."""
    has_request, has_order = rows.request >= 0, rows.order >= 0
    is_priced = (rows.event == PURCHASE) & (rows.item >= 0)
    seconds = (rows.day.astype(np.int64) - date(1970, 1, 1).toordinal()) * 86_400 + rows.second
    event_days = _format_days(rows.landed_day, "{:%Y%m%d}-")
    request_days = _format_days(np.where(has_request, rows.landed_day, -1), "r{:%Y%m%d}-")
    order_days = _format_days(np.where(has_order, rows.landed_day, -1), "o{:%Y%m%d}-")
    columns = {
        "event_id": pc.binary_join_element_wise(event_days, _format_numbers(rows.number), ""),
        "user_id": _take(_list_ids("u", rows.user), rows.user),
        "item_id": _take(_list_ids("i", rows.item), rows.item),
        "event": _take(list(EVENTS), rows.event),
        "ts": pa.array(seconds * 1_000_000, pa.timestamp("us", "UTC"), mask=rows.second < 0),
        "value": pa.array(rows.value.astype(np.float64), mask=rows.value < 0),
        "price": _take(pa.array(prices), np.where(is_priced, rows.item, -1)),
        "request_id": pc.binary_join_element_wise(request_days, _format_numbers(rows.request), ""),
        "position": pa.array(rows.position.astype(np.int32), mask=~has_request),
        "order_id": pc.binary_join_element_wise(order_days, _format_numbers(rows.order), ""),
    }
    return pa.table(columns)


def build_item_row(number: int, text: dict[str, Any], day: date) -> dict[str, Any]:
    return {"item_id": f"i{number:0{ID_DIGITS}}", **text, "updated_at": f"{day}T00:00:00Z"}


def _take(choices: Any, index: NDArray[Any]) -> pa.Array:
    """The choice of each index, null where the index is negative."""
    array = pa.array(choices) if isinstance(choices, list) else choices
    return array.take(pa.array(index, mask=index < 0))


def _format_numbers(numbers: NDArray[Any]) -> pa.Array:
    return pa.array(numbers, mask=numbers < 0).cast(pa.string())


def _list_ids(prefix: str, numbers: NDArray[Any], suffix: str = "") -> pa.Array:
    """The IDs of all numbers from 0 to the highest, between prefix and suffix."""
    all_numbers = pa.array(np.arange(int(numbers.max(initial=0)) + 1)).cast(pa.string())
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(all_numbers, ID_DIGITS, "0"), suffix, "")


def _format_days(days: NDArray[Any], template: str) -> pa.Array:
    """Fill each day (an ordinal; -1: absent) into the template."""
    first, last = int(days[days >= 0].min(initial=days.max(initial=0))), int(days.max(initial=0))
    texts = [template.format(date.fromordinal(max(first, 1)) + timedelta(days=n)) for n in range(last - first + 1)]
    return _take(texts, np.where(days < 0, -1, days - first))
