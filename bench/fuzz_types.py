"""Columns of Parquet files in types that no log needs, for the bench `fuzz_landing`."""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

BIG = 2**63 - 1


def change_types(table: pa.Table, rng: random.Random) -> pa.Table:
    """Give a column another type, or add a column of one."""
    array = rng.choice(_build_arrays(len(table), rng))
    name = rng.choice([*table.column_names, *table.column_names, "extra"])
    if name not in table.column_names:
        return table.append_column(name, array)
    if rng.random() < 0.2:  # twice
        return table.append_column(name, array)
    return table.set_column(table.column_names.index(name), name, array)


def _build_arrays(rows: int, rng: random.Random) -> list[pa.Array]:
    def fill(value: Any, arrow_type: pa.DataType) -> pa.Array:
        return pa.array([value if rng.random() < 0.9 else None for _ in range(rows)], arrow_type)

    numbers = [
        ("s", rng.choice([1795165200, -1, -(2**42), 253402300800, 0, BIG // 1000])),
        ("ms", rng.choice([1795165200000, BIG, -BIG])),
        ("us", rng.choice([1795165200000000, BIG])), ("ns", rng.choice([1795165200 * 10**9, BIG, -BIG])),
    ]  # fmt: skip
    zones = (None, "UTC", "America/New_York", "+05:30")
    times = [fill(number, pa.timestamp(unit, zone)) for unit, number in numbers for zone in zones]
    dictionary = pa.DictionaryArray.from_arrays(
        pa.array([0] * rows, pa.int8()), pa.array([rng.choice(["a", " b ", "é"])])
    )
    struct = pa.struct([("a", pa.float64()), ("b", pa.list_(pa.binary())), ("c.d", pa.decimal256(40, 2))])
    return [
        *times,
        fill(5, pa.date32()), fill(2**40, pa.date64()), fill(5, pa.time32("s")), fill(5, pa.time32("ms")),
        fill(5, pa.time64("us")), fill(5, pa.time64("ns")), fill(timedelta(days=1), pa.duration("ns")),
        fill(5, pa.duration("s")), fill(2**64 - 1, pa.uint64()), fill(-(2**63), pa.int64()), fill(3, pa.int8()),
        fill(3, pa.uint32()), fill(1.5, pa.float32()), fill(1.0, pa.float16()), fill(float("nan"), pa.float64()),
        fill(float("inf"), pa.float64()), fill(2.0**60, pa.float64()), fill(7.0, pa.float64()), fill(True, pa.bool_()),
        fill(Decimal("1.50"), pa.decimal128(9, 2)), fill(Decimal("2.00"), pa.decimal256(9, 2)),
        fill(Decimal(10) ** 60, pa.decimal256(76, 0)), fill(Decimal("7.00"), pa.decimal32(5, 2)),
        fill(Decimal("1e30"), pa.decimal128(38, 4)), fill("a", pa.large_string()), fill("a", pa.string_view()),
        fill(b"a\xff", pa.binary()), fill(b"a", pa.large_binary()), fill(b"0123456789abcdef", pa.binary(16)),
        fill(b"a", pa.binary_view()), pa.nulls(rows), dictionary, fill(["a", None], pa.list_(pa.string())),
        fill([1.0, float("nan")], pa.list_(pa.float64())), fill(["a"], pa.large_list(pa.string())),
        fill([1, 2], pa.list_(pa.int32(), 2)), fill({"a": float("nan"), "b": [b"\xff"], "c.d": 1}, struct),
        fill([("k", 1)], pa.map_(pa.string(), pa.int32())),
        fill([(float("nan"), "v")], pa.map_(pa.float64(), pa.string())),
        fill({"x": 1795165200 * 10**9}, pa.struct([("x", pa.timestamp("ns", "UTC"))])),
        fill({"x": BIG}, pa.struct([("x", pa.timestamp("ms"))])), fill({"x": None}, pa.struct([("x", pa.null())])),
        fill("x" * 2_000_000, pa.string()), fill("a\0b", pa.string()), fill("[1]", pa.string()),
        fill("2026-11-20T09:00:00Z", pa.string()), fill(1795165200, pa.int32()), fill(1795165200.5, pa.float64()),
    ]  # fmt: skip
