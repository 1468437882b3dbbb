"""Which purchase a cancel takes back, from the events of users and items: examples by hand."""

import random
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from jobs.landing.cancels import match_cancels

Row = dict[str, Any]
SCHEMA = pa.schema(
    {name: pa.string() for name in ("event", "event_id", "user_id", "item_id", "order_id")}
    | {"ts": pa.timestamp("us", "UTC"), "day": pa.date32(), "value": pa.float64(), "seq": pa.int64()}
)


def event(kind: str, minute: int, order: str | None, quantity: float | None, **more: Any) -> Row:
    ts = datetime(2026, 11, 20, 10, minute, tzinfo=UTC)
    ids = {"event_id": f"{kind}{minute}{order}", "event": kind, "user_id": "u", "item_id": "i", "order_id": order}
    return {**ids, "ts": ts, "day": date(2026, 11, 20), "value": quantity, "seq": None, **more}


def buy(minute: int, order: str | None = None, quantity: float | None = None, **more: Any) -> Row:
    return event("purchase", minute, order, quantity, **more)


def cancel(minute: int, order: str | None = None, quantity: float | None = None, **more: Any) -> Row:
    return event("cancel", minute, order, quantity, **more)


def match(rows: list[Row]) -> dict[int, int]:
    """The minute of each cancelled purchase, and the minute at which it was taken back."""
    random.Random(0).shuffle(rows)
    matched = match_cancels(pa.Table.from_pylist(rows, SCHEMA)).to_pylist()
    assert all(row["event"] == "purchase" for row in matched)
    return {row["ts"].minute: row["cancelled_at"].minute for row in matched}


TWO = [buy(1, "o1", 2), buy(3, "o2", 2)]


@pytest.mark.parametrize(
    ("cancels", "expected"),
    [
        ([cancel(9, "o1")], {1: 9}),  # the purchase of its order
        ([cancel(9)], {3: 9}),  # without an order: the latest purchase
        ([cancel(9, "C7", -2)], {3: 9}),  # with a number of its own, as a credit note has
        ([cancel(2)], {1: 2}),  # only what came before it
        ([cancel(0)], {}),
        ([cancel(9, quantity=-1)], {}),  # one of two units
        ([cancel(8, quantity=-1), cancel(9, quantity=-1)], {3: 9}),
        ([cancel(9, quantity=3)], {3: 9}),  # both units of the latest, and one of the other
        ([cancel(8, quantity=3), cancel(9, quantity=1)], {3: 8, 1: 9}),
        ([cancel(9, quantity=-400)], {3: 9, 1: 9}),
        ([cancel(8, "o2", -2), cancel(9, "o2", -2)], {3: 8}),  # logged twice
        ([cancel(8, "o2"), cancel(9)], {3: 8, 1: 9}),
        ([cancel(8), cancel(9)], {3: 8, 1: 9}),
        ([cancel(2), cancel(9), cancel(10)], {1: 2, 3: 9}),
        ([cancel(9, user_id="v"), cancel(9, item_id="j")], {}),
        ([cancel(1)], {1: 1}),  # at the same moment
        ([cancel(9, quantity=0.0)], {3: 9}),  # an unknown quantity
    ],
)
def test_a_cancel_takes_back_the_purchase_of_its_order_or_else_the_latest(
    cancels: list[Row], expected: dict[int, int]
) -> None:
    assert match([*TWO, *cancels]) == expected


def test_an_unknown_quantity_is_one_whole_purchase() -> None:
    assert match([buy(1), buy(2), cancel(9, quantity=-7)]) == {2: 9}
    assert match([buy(1, quantity=5), buy(2, quantity=5), cancel(9)]) == {2: 9}


def test_fractions_of_units_add_up() -> None:
    assert match([buy(1, quantity=0.3), *(cancel(minute, quantity=-0.1) for minute in (2, 3, 4))]) == {1: 4}


def test_a_cancel_of_an_order_takes_back_its_lines_of_the_item_and_no_others() -> None:
    assert match([buy(1, "o"), buy(2, "o", 1), buy(3, "p", 1), cancel(9, "o", -3)]) == {2: 9, 1: 9}
