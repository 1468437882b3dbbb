"""Files that the bench `fuzz_landing` found, or that are made to do harm: what lands, and what is refused by name."""

import gzip
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.landing.files import list_landing_files
from jobs.landing.lines import describe_reading, split_file
from jobs.landing.parquet import read_parquet_blocks
from jobs.landing.parse import REFUSED, read_files
from jobs.landing.settings import Landing

DAY = date(2026, 11, 20)
EVENT = {"event_id": "e", "user_id": "u", "item_id": "i", "event": "click", "ts": f"{DAY}T09:00:00Z"}
HEADER = ",".join(EVENT) + "\n"
LINE = ",".join(EVENT.values()) + "\n"


def read(folder: Path, name: str, content: bytes, **dialect: Any) -> list[dict[str, Any]]:
    """The rows of bronze.raw_events that a file becomes."""
    (folder / name).write_bytes(content)
    landing = Landing.model_validate({"events": dialect})
    values = {"since": DAY, "day": DAY, "run_id": "test"}
    reading = describe_reading("events", landing, values)
    parts = [part for file in list_landing_files(folder, landing).files for part in split_file(file)]
    return [row for batch in read_files(reading, parts) for row in batch.to_pylist()]


def write_parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    rows = len(next(iter(columns.values())))
    fields = {name: [value] * rows for name, value in EVENT.items()}
    pq.write_table(pa.table(fields | columns), out)
    return out.getvalue()


def test_parquet_columns_may_have_any_name(tmp_path: Path) -> None:
    content = write_parquet(line=["x", "y"], RAW=[1, 2], problem=[None, "p"], row=["r", "s"], **{'it\'s "a"': [1, 2]})
    rows = read(tmp_path, "events.parquet", content)
    assert [(row["line"], row["reason"], row["item_id"]) for row in rows] == [(1, None, "i"), (2, None, "i")]
    assert {"line": "y", "RAW": 2, "problem": "p", "row": "s"}.items() <= json.loads(rows[1]["raw"]).items()


def test_an_id_that_is_not_utf8_is_rejected_in_parquet(tmp_path: Path) -> None:
    content = write_parquet(item_id=[b"a\xff", b"i"], picture=[b"\xff", b"\xff"])
    assert [row["reason"] for row in read(tmp_path, "events.parquet", content)] == ["item_id is not utf-8", None]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_time_that_no_database_can_hold_rejects_its_row_alone(tmp_path: Path, unit: str) -> None:
    good = pa.array([datetime(2026, 11, 20, tzinfo=UTC)], pa.timestamp(unit, "UTC")).cast(pa.int64())[0].as_py()
    ts = pa.array([2**63 - 1, good, None], pa.timestamp(unit, "UTC"))
    reasons = [row["reason"] for row in read(tmp_path, "events.parquet", write_parquet(ts=ts))]
    assert reasons[0] in ("ts is not between 1970 and 2261", "ts is not an ISO 8601 time", "ts is in the future")
    assert reasons[1:] == [None, "ts is missing"]


def test_the_last_year_in_a_far_time_zone_is_no_crash(tmp_path: Path) -> None:
    lines = [json.dumps(EVENT | {"ts": ts}) for ts in ("9999-12-31T23:59:59.-23:59", "9999-12-31T23:59:59 -23:59")]
    lines.append(json.dumps(EVENT | {"ts": "0001-01-01T00:00:00 +23:59"}))
    assert all(row["reason"] for row in read(tmp_path, "events.jsonl", "\n".join(lines).encode()))


def test_an_hour_that_comes_twice_is_the_later_one_whatever_the_form(tmp_path: Path) -> None:
    texts = ("2026-10-25 02:30:00", "20261025T023000", "2026-10-25T02:30:00,0", "2026-10-25T01:30:00Z")
    lines = "".join(json.dumps(EVENT | {"ts": text}) + "\n" for text in texts)
    (tmp_path / "events.jsonl").write_text(lines)
    landing = Landing(time_zone="Europe/Berlin")
    values = {"since": DAY, "day": DAY, "run_id": "test"}
    file = list_landing_files(tmp_path, landing).files[0]
    batches = list(read_files(describe_reading("events", landing, values), split_file(file)))
    assert {row["ts"] for batch in batches for row in batch.to_pylist()} == {datetime(2026, 10, 25, 1, 30, tzinfo=UTC)}


def test_wide_decimals_and_texts_are_read(tmp_path: Path) -> None:
    price = pa.array([1]).cast(pa.decimal256(30, 2))
    rows = read(tmp_path, "events.parquet", write_parquet(price=price, user_id=pa.array(["u"], pa.large_string())))
    assert [(row["reason"], row["price"]) for row in rows] == [(None, 1.0)]


def test_keys_with_other_capital_letters_in_one_file_all_count(tmp_path: Path) -> None:
    lines = [json.dumps({(key if key != "item_id" else name): v for key, v in EVENT.items()})
             for name in ("item_id", "ITEM_ID", "Item_Id")]  # fmt: skip
    rows = read(tmp_path, "events.jsonl", "\n".join(lines).encode())
    assert [(row["reason"], row["item_id"]) for row in rows] == [(None, "i")] * 3


def test_a_path_may_name_keys_with_quotes_and_backslashes(tmp_path: Path) -> None:
    key = 'the "item"\\'
    line = json.dumps({name: value for name, value in EVENT.items() if name != "item_id"} | {key: {"id": "i"}})
    rows = read(tmp_path, "events.jsonl", line.encode(), columns={"item_id": f"{key}.id"})
    assert [(row["reason"], row["item_id"]) for row in rows] == [(None, "i")]


def test_spaces_that_do_not_break_are_no_part_of_an_id(tmp_path: Path) -> None:
    rows = read(tmp_path, "events.jsonl", json.dumps(EVENT | {"item_id": "\u00a0i \ufeff"}).encode())
    assert [row["item_id"] for row in rows] == ["i"]


def test_half_characters_in_a_list_are_rejected(tmp_path: Path) -> None:
    content = json.dumps([EVENT | {"item_id": "\ud800"}, EVENT]).encode()
    assert sorted(str(row["reason"]) for row in read(tmp_path, "events.json", content)) == ["None", "not a JSON object"]


def test_json_in_utf16_is_read_if_landing_toml_says_so(tmp_path: Path) -> None:
    content = "".join(json.dumps(EVENT | {"item_id": "ü"}, ensure_ascii=False) + "\n" for _ in range(3)).encode(
        "utf-16"
    )
    rows = read(tmp_path, "events.jsonl", content, encoding="utf-16")
    assert [(row["line"], row["reason"], row["item_id"]) for row in rows] == [(n, None, "ü") for n in (1, 2, 3)]


def test_a_header_may_hold_a_line_end(tmp_path: Path) -> None:
    rows = read(
        tmp_path, "events.csv", HEADER.replace("event_id", 'event_id,"two\nlines"').encode() + b"x," + LINE.encode()
    )
    assert [(row["reason"], row["event_id"]) for row in rows] == [(None, "x")]


def test_a_second_header_with_a_byte_order_mark_is_no_event(tmp_path: Path) -> None:
    rows = read(tmp_path, "events.csv", (HEADER + LINE + "\ufeff" + HEADER + LINE).encode("utf-8-sig"))
    assert [row["reason"] for row in rows] == [None, "the header again", None]


def test_a_dictionary_of_long_texts_is_read_in_small_parts(tmp_path: Path) -> None:
    longest = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["x" * (1 << 20)]))
    note = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["x" * (1 << 19)]))
    for array, reason in ((longest, "longer than 1,048,576 bytes"), (note, None)):
        content = write_parquet(note=array)
        (tmp_path / "events.parquet").write_bytes(content)
        blocks = list(read_parquet_blocks(str(tmp_path / "events.parquet"), 0, 0, tuple(EVENT), {}))
        assert all(block["row"].nbytes <= 17 << 20 for block in blocks)
        rows = read(tmp_path, "events.parquet", content)
        assert [(row["line"], row["reason"]) for row in rows] == [(n, reason) for n in range(1, 301)]


REFUSALS = {
    "compressed twice": ("events.jsonl.gz", gzip.compress(gzip.compress(b"{}\n")), "is compressed by gzip"),
    "compressed without .gz": ("events.csv", gzip.compress(HEADER.encode()), "is compressed by gzip"),
    "Parquet called JSON": ("events.jsonl", write_parquet(event_id=["e"]), "is Parquet"),
    "a gzip file cut": ("events.jsonl.gz", gzip.compress(b"{}\n" * 9)[:-9], "cannot be read to its end"),
    "UTF-16": ("events.jsonl", json.dumps(EVENT).encode("utf-16"), 'encoding = "utf-16"'),
    "CSV in Latin 1": ("events.csv", "é\n".encode("latin-1") + HEADER.encode(), "is not utf-8"),
    "a page of Parquet damaged": (
        "events.parquet", b"PAR1" + b"\xff" * 99 + write_parquet(event_id=["e"])[103:], "cannot be read to its end",
    ),
    "a row that never ends": ("events.csv", HEADER.encode() + b'"\n",' * 3_000_000, "line 2 begins a row of more than"),
    "a line that never ends": ("events.csv", HEADER.encode() + b"x" * 9_000_000, "line 2 begins a row of more than"),
    "a nested time out of range": (
        "events.parquet", write_parquet(a=pa.array([{"x": 2**62}], pa.struct([("x", pa.timestamp("ms"))]))),
        "holds a value that cannot be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_read_is_refused(tmp_path: Path, case: str) -> None:
    name, content, message = REFUSALS[case]
    rows = read(tmp_path, name, content)
    refused = [row["reason"] for row in rows if str(row["reason"]).startswith(REFUSED)]
    assert len(refused) == 1
    assert message in refused[0]
