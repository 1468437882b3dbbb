"""A landing folder with files as many programs write them. The cases follow public bug reports, named beside each."""

import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DAY = date(2026, 11, 20)
NINE = datetime(2026, 11, 20, 9, tzinfo=UTC)
Row = dict[str, Any]


def event(event_id: str, **fields: Any) -> Row:
    return {"event_id": event_id, "user_id": "u", "item_id": "i", "event": "click", "ts": f"{DAY}T09:00:00Z"} | fields


def _write_json(path: Path, rows: list[Row | str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def _write_csv(path: Path, rows: list[Row], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **options)
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> None:
    rows = next(len(column) for column in columns.values())
    base = {name: [value] * rows for name, value in event("").items() if name not in ("event_id", *columns)}
    pq.write_table(pa.table(base | columns), path, **options)


def int96(folder: Path) -> None:
    """Spark's default: https://github.com/NVIDIA/cudf-spark/issues/8625"""
    ts = pa.array([NINE.replace(tzinfo=None)], pa.timestamp("us"))
    _write_parquet(
        folder / "events-int96.parquet", {"event_id": ["int96"], "ts": ts}, use_deprecated_int96_timestamps=True
    )


def nan(folder: Path) -> None:
    """NaN instead of null: https://github.com/apache/spark/pull/53310"""
    prices = pa.array([float("nan"), 2.5])
    _write_parquet(folder / "events-nan.parquet", {"event_id": ["nan1", "nan2"], "price": prices})


def odd_types(folder: Path) -> None:
    """Dictionaries, decimals, nulls without a type, binary text and float IDs."""
    columns = {
        "event_id": pa.array(["odd1", "odd2"]).dictionary_encode(),
        "item_id": pa.array([b"i", b"i"], pa.binary()),
        "user_id": pa.array([7.0, None]),
        "price": pa.array([Decimal("1.50"), None], pa.decimal128(9, 2)),
        "value": pa.nulls(2),
        "Position": pa.array([3.0, None]),
    }
    _write_parquet(folder / "events-odd.parquet", columns)


def hourly(folder: Path) -> None:
    """Folders for each hour: https://github.com/mjakubowski84/parquet4s/issues/352"""
    for hour in ("06", "07"):
        _write_json(folder / f"hour={hour}" / "events-0001.jsonl", [event(f"hour{hour}")])


def pandas_csv(folder: Path) -> None:
    """A column of whole numbers with gaps: https://github.com/pandas-dev/pandas/issues/20717"""
    rows = [event("pandas1", position="2.0"), event("pandas2", position="")]
    _write_csv(folder / "events-pandas.csv", rows)


def times(folder: Path) -> None:
    """https://github.com/js-joda/js-joda/issues/205 and https://github.com/ThreeTen/threetenbp/issues/67"""
    texts = [
        "2026-11-20T09:00Z", "2026-11-20 10:00:00+01", "2026-11-20T10:00:00+0100", "2026-11-20 09:00:00 UTC",
        "20261120T090000Z", "2026-11-20T09:00:00,000Z", "2026-11-20T09:00:00.000000000Z", "2026-11-20 10:00:00 +0100",
        "2026-11-20T09:00Z[UTC]", "1795165200", "1795165200000", "1795165200000000",
    ]  # fmt: skip
    rows: list[Row | str] = [event(f"time{n}", ts=text) for n, text in enumerate(texts)]
    _write_json(folder / "events-times.jsonl", [*rows, event("time-number", ts=1795165200.0)])


def shared_id(folder: Path) -> None:
    """An impression and its click under one ID: https://github.com/snowplow/snowplow/issues/24"""
    rows: list[Row | str] = [event("auction", event=name) for name in ("click", "impression", "impression")]
    _write_json(folder / "events-shared.jsonl", rows)


def nulls(folder: Path) -> None:
    r"""NULL as \N: https://github.com/snowplow-archive/snowplow-snowflake-loader/issues/14"""
    _write_csv(folder / "events-null.csv", [event("no-user", user_id="\\N", request_id="\\N")])


def excel(folder: Path) -> None:
    """Semicolons, CRLF, a byte order mark, capital letters and blanks in names, and quotes with line ends in them."""
    text = '\ufeffItem_ID; TITLE ;Description;Price\r\nexcel;"a ""Nordic"" chair";"two\r\nlines";3.5\r\n'
    (folder / "items-excel.csv").write_bytes(text.encode())


def joined(folder: Path) -> None:
    """One gzip member for each record, and a second header: https://github.com/whitfin/s3-concat/issues/3"""
    lines = [json.dumps(event(f"member{n}")).encode() + b"\n" for n in range(3)]
    (folder / "events-members.jsonl.gz").write_bytes(b"".join(map(gzip.compress, lines)))
    part = io.StringIO("item_id,title\njoined1,a\nitem_id,title\njoined2,b\n").getvalue()
    (folder / "items-joined.csv.bz2").write_bytes(bz2.compress(part.encode()))


def firehose(folder: Path) -> None:
    """Objects without a line end between them, as Firehose writes them, and a list of objects."""
    _write_json(folder / "events-fire.jsonl", [json.dumps(event("fire1")) + json.dumps(event("fire2", note="}{"))])
    _write_json(folder / "events-list.json", [json.dumps([event("list1"), event("list2")])])


def categories(folder: Path) -> None:
    """https://github.com/googleapis/python-recommendations-ai/issues/20"""
    texts = {
        "gt": "Home > Chairs",
        "bar": "Home|Chairs",
        "plain": "Home",
        "sale": "[Sale] Home",
        "json": '["Home", "Chairs"]',
    }
    _write_csv(folder / "items-categories.csv", [{"item_id": name, "category": text} for name, text in texts.items()])


def bad_lines(folder: Path) -> None:
    """A list as an item, infinite prices, a word for null as an ID, a line of a megabyte, a line that is not UTF-8."""
    rows: list[Row | str] = [
        event("bad-list", item_id=["a", "b"]),
        event("bad-object", item_id={"id": "a"}),
        event("bad-nan", price=float("nan")),
        event("bad-infinity", price=float("inf")),
        f'{{"event_id": "bad-1e999", "item_id": "i", "event": "click", "ts": "{DAY}", "price": 1e999}}',
        event("bad-null", user_id="null"),
        event("bad-long", note="x" * (1 << 20)),
        event("bad-position", position=-1),
        event("bad-1970", ts="1970-01-01T00:00:00Z"),
        event("bad-2036", ts="2036-01-01T00:00:00Z"),
        '{"event_id": "bad-deep", "x": ' + "[" * 60_000,
    ]
    _write_json(folder / "events-bad.jsonl", rows)
    with open(folder / "events-bad.jsonl", "ab") as file:
        file.write(b'{"event_id": "bad-bytes\xe9"}\n')


def litter(folder: Path) -> None:
    """https://github.com/51zero/eel-sdk/issues/390"""
    for name in ("_SUCCESS", ".events.jsonl.crc", "._events.jsonl", ".DS_Store", "README.md", "events-empty.jsonl"):
        (folder / name).write_bytes(b"")
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "events-part.jsonl").write_text("half a li")


WRITERS: list[Callable[[Path], None]] = [
    int96, nan, odd_types, hourly, pandas_csv, times, shared_id, nulls, excel, joined, firehose, categories, bad_lines,
    litter,
]  # fmt: skip


def write_all(landing: Path) -> Path:
    """Let every writer write its files into one day folder."""
    folder = landing / f"dt={DAY}"
    folder.mkdir(parents=True)
    for write in WRITERS:
        write(folder)
    return landing
