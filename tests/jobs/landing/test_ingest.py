"""Ingest keeps each good line once and sets bad lines aside, whatever the order in which they come."""

import gzip
import hashlib
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from great_expectations import expectations as gxe

from jobs import ingest
from jobs.lake import JobResult, Lake, UserError
from jobs.lake.checks import DOCS
from jobs.settings.tree import Settings, load_settings

DAY1, DAY2, DAY3 = date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 20)


def build_event(number: int, day: date, **fields: Any) -> dict[str, Any]:
    base = {
        "event_id": f"e{number}",
        "user_id": "u",
        "item_id": "i",
        "event": "click",
        "ts": f"{day}T10:00:00Z",
    }
    return base | fields


def write_log(folder: Path, name: str, rows: Sequence[dict[str, Any] | str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))


def hash_rows(lake: Lake, name: str, columns: list[str]) -> str:
    """A hash of the sorted rows."""
    rows = lake.arrow(name, columns).to_pylist()
    return hashlib.sha256("\n".join(sorted(map(repr, rows))).encode()).hexdigest()


EVENT = ["event_id", "user_id", "item_id", "event", "ts", "value", "day", "landed_day"]


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing folder with days 1 to 3. Day 3 brings a late event of day 1, and an event that day 2 already had."""
    folder = tmp_path_factory.mktemp("landing")
    write_log(folder / str(DAY1), "events.jsonl.gz", [build_event(1, DAY1), build_event(2, DAY1)])
    write_log(folder / str(DAY1), "items.jsonl.gz", [{"item_id": "i", "title": "old"}, {"item_id": "bare"}])
    write_log(folder / str(DAY2), "events.jsonl.gz", [build_event(3, DAY2), build_event(3, DAY2)])
    write_log(
        folder / str(DAY3),
        "events.jsonl.gz",
        [build_event(4, DAY1), build_event(3, DAY2, user_id="other"), build_event(5, DAY3)],
    )
    write_log(folder / str(DAY3), "items.jsonl.gz", [{"item_id": "i", "title": "new"}])
    return folder


def test_every_rejected_line_is_set_aside_with_file_line_and_reason(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    reasons = {
        "{not json": "not a JSON object",
        '["a list"]': "not a JSON object",
        json.dumps(build_event(22, DAY1)) + ", " + json.dumps(build_event(23, DAY1)): "not a JSON object",
        json.dumps(build_event(24, DAY1))[:-2] + "}": "not a JSON object",
        json.dumps(build_event(1, DAY1, event_id="")): "event_id is missing",
        json.dumps({k: v for k, v in build_event(2, DAY1).items() if k != "item_id"}): "item_id is missing",
        json.dumps(build_event(3, DAY1, event="teleport")): "event is of an unknown type",
        json.dumps(build_event(4, DAY1, ts="yesterday")): "ts is not an ISO 8601 time",
        json.dumps(build_event(5, DAY1, ts="T08:26:00")): "ts is not an ISO 8601 time",
        json.dumps(build_event(6, DAY2)): "ts is in the future",
        json.dumps(build_event(9, DAY1, ts="0001-01-01T00:00:00Z")): "ts is not between 1970 and 2261",
        json.dumps(build_event(10, DAY1, ts="9999-12-31T23:59:59-12:00")): "ts is not between 1970 and 2261",
        json.dumps(build_event(11, DAY1, item_id="i\0")): "an id is longer than 256 characters or holds a NUL",
        json.dumps(build_event(7, DAY1, value="many")): "value is not a number",
        json.dumps(build_event(8, DAY1, event="rating")): "a rating without a value",
    }
    write_log(tmp_path / str(DAY1), "events.jsonl.gz", [build_event(0, DAY1), "", *reasons])
    write_log(tmp_path / str(DAY1), "events-blank.jsonl.gz", ["", ""])
    with pytest.raises(UserError, match=r"15 of 16 lines of events are rejected"):
        ingest.run(lake, settings, DAY1, data=tmp_path)
    assert lake.arrow("silver.events").num_rows == lake.arrow("bronze.raw_events").num_rows == 0
    lenient = settings.model_copy(update={"logs": settings.logs.model_copy(update={"max_reject_share": 1.0})})
    result = ingest.run(lake, lenient, DAY1, data=tmp_path)
    rejects = {(r["line"], r["raw"]): r["reason"] for r in lake.arrow("bronze.rejects").to_pylist()}
    assert rejects == {(number + 3, raw): reason for number, (raw, reason) in enumerate(reasons.items())}
    assert set(lake.arrow("bronze.rejects")["file"].to_pylist()) == {f"{DAY1}/events.jsonl.gz"}
    assert (result.rows_in, result.rows_out, result.rows_rejected) == (16, 1, 15)


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory, three_days: Path) -> tuple[Lake, JobResult]:
    """A lake with the three days, landed in one run, and the result of that run; no test writes to it."""
    lake = Lake(tmp_path_factory.mktemp("landed"), run_id="test")
    lake.create()
    return lake, ingest.run(lake, load_settings(), DAY3, data=three_days, since=DAY1)


def test_days_landed_out_of_order_or_twice_end_in_the_same_tables(
    lake: Lake, settings: Settings, three_days: Path, landed: tuple[Lake, JobResult]
) -> None:
    for day in (DAY1, DAY3, DAY2, DAY2):
        ingest.run(lake, settings, day, data=three_days)
    items = ["item_id", "title", "text", "content_hash", "file", "line", "day"]
    for table, columns in (("silver.events", EVENT), ("silver.items", items)):
        assert hash_rows(lake, table, columns) == hash_rows(landed[0], table, columns)
    texts = {row["item_id"]: row["text"] for row in lake.arrow("silver.items").to_pylist()}
    assert texts == {"i": "new", "bare": "bare"}


def test_a_late_event_goes_to_its_own_day_and_a_repeated_one_is_counted_once(landed: tuple[Lake, JobResult]) -> None:
    lake, result = landed
    days = {r["event_id"]: (r["day"], r["landed_day"], r["user_id"]) for r in lake.arrow("silver.events").to_pylist()}
    assert days == {
        "e1": (DAY1, DAY1, "u"), "e2": (DAY1, DAY1, "u"), "e3": (DAY2, DAY2, "u"),
        "e4": (DAY1, DAY3, "u"), "e5": (DAY3, DAY3, "u"),
    }  # fmt: skip
    assert (result.rows_in, result.rows_out, result.rows_rejected) == (10, 7, 0)
    # Event 3 comes once more from another user, which conflicts. The old version of item i counts as a duplicate.
    assert (result.rows_duplicate, result.rows_conflicting) == (2, 1)
    metrics = lake.arrow("gold.metrics", where=ds.field("model") == "event_days").to_pylist()
    assert {row["slice"]: row["value"] for row in metrics} == {str(DAY1): 3, str(DAY2): 3, str(DAY3): 1}


def test_a_corrected_file_replaces_its_earlier_lines(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    write_log(tmp_path / str(DAY2), "events.jsonl.gz", [build_event(1, DAY2), build_event(2, DAY1)])
    for price in (1.0, 2.0):
        write_log(tmp_path / str(DAY2), "items.jsonl.gz", [{"item_id": "i", "title": "t", "price": price}])
        ingest.run(lake, settings, DAY2, data=tmp_path)
        assert lake.arrow("silver.items")["price"].to_pylist() == [price]
        write_log(tmp_path / str(DAY2), "events.jsonl.gz", [build_event(1, DAY2)])
    assert lake.arrow("silver.events")["event_id"].to_pylist() == ["e1"]


def test_a_file_outside_day_folders_gives_each_day_its_lines(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    csv = "event_id,user_id,item_id,event,ts\n" + "".join(
        f"e{n},u,i,click,{day}T10:00:00Z\n" for n, day in enumerate([DAY1, DAY2, DAY3])
    )
    tmp_path.joinpath("events.csv").write_text(csv + "e9,u,i,click,never\n")
    ingest.run(lake, settings, DAY2, data=tmp_path, since=DAY1)
    assert sorted(lake.arrow("silver.events")["event_id"].to_pylist()) == ["e0", "e1"]
    ingest.run(lake, settings, DAY3, data=tmp_path)
    assert sorted(lake.arrow("silver.events")["event_id"].to_pylist()) == ["e0", "e1", "e2"]
    assert lake.arrow("bronze.rejects", ["reason", "day", "line"]).to_pylist() == [
        {"reason": "ts is not an ISO 8601 time", "day": DAY2, "line": 5}
    ]


def test_parquet_lands_like_json(settings: Settings, tmp_path: Path) -> None:
    rows = [
        build_event(1, DAY1, value=2.5),
        build_event(2, DAY1, item_id=None),
        build_event(3, DAY2),
        build_event(1, DAY1, user_id="other"),
    ]
    more_rows = [build_event(4, DAY1, position=7, price=0.1)]
    item = {"item_id": "i", "title": "t", "category": ["a", "b"], "attributes": {"brand": "x"}, "price": 3.0}
    item |= {"image": "i/1.jpg"}
    # These characters are allowed in a path, but special in a pattern or an address.
    names = ("events+1 [é].{}", "events 2.{}", "items%20.{}")
    for file_rows, name in zip((rows, more_rows, [item]), names, strict=True):
        write_log(tmp_path / "json" / str(DAY1), name.format("jsonl.gz"), list(file_rows))
        table = pa.Table.from_pylist(file_rows)
        if "ts" in table.column_names:
            typed = table["ts"].cast(pa.timestamp("us" if file_rows is rows else "ns", "UTC"))  # pandas writes ns
            table = table.set_column(table.column_names.index("ts"), "ts", typed)
        folder = tmp_path / "parquet" / str(DAY1)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / name.format("parquet"))
    results = []
    for form in ("json", "parquet"):
        lake = Lake(tmp_path / "lakes" / form)
        lake.create()
        lenient = settings.model_copy(update={"logs": settings.logs.model_copy(update={"max_reject_share": 1.0})})
        ingest.run(lake, lenient, DAY1, data=tmp_path / form)
        rejects = [(r["file"].split(".")[0], r["line"], r["reason"]) for r in lake.arrow("bronze.rejects").to_pylist()]
        columns = ["item_id", "text", "category", "attributes", "image", "price"]
        items = lake.arrow("silver.items", columns).to_pylist()
        results.append((hash_rows(lake, "silver.events", [*EVENT, "price", "position"]), items, sorted(rejects)))
    assert results[0] == results[1]
    assert [reject[2] for reject in results[1][2]] == ["item_id is missing", "ts is in the future"]


def test_a_csv_line_with_more_fields_than_the_header_is_rejected_and_a_byte_order_mark_is_skipped(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / str(DAY1)).mkdir()
    lines = ["event_id,item_id,event,ts", f"e1,i,click,{DAY1}T10:00:00Z", f"e2,i,click,{DAY1}T10:00:00Z,more", ""]
    (tmp_path / str(DAY1) / "events.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    ingest.run(lake, settings, DAY1, data=tmp_path)
    assert lake.arrow("silver.events")["event_id"].to_pylist() == ["e1"]
    assert lake.arrow("bronze.rejects", ["line", "reason"]).to_pylist() == [
        {"line": 3, "reason": "more fields than the header"}
    ]


def test_the_path_of_an_image_is_kept_and_is_part_of_the_hash(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    write_log(tmp_path / str(DAY1), "events.jsonl.gz", [build_event(1, DAY1)])
    images = {"none": None, "empty": "", "first": "a/1.png", "second": "a/2.png"}
    results = []
    for changed in ({}, {"first": "a/3.png"}):
        lines = [{"item_id": item, "title": "t", "image": image} for item, image in (images | changed).items()]
        write_log(tmp_path / str(DAY1), "items.jsonl.gz", list(lines))
        ingest.run(lake, settings, DAY1, data=tmp_path)
        rows = lake.arrow("silver.items", ["item_id", "image", "text", "content_hash"]).to_pylist()
        results.append({row["item_id"]: row for row in rows})
    before, after = results
    assert {item: row["image"] for item, row in before.items()} == images | {"empty": None}
    assert {row["text"] for row in before.values()} == {"t"}
    hashes = {item: row["content_hash"] for item, row in before.items()}
    assert hashes["none"] == hashes["empty"] == hashlib.sha256(b"t").hexdigest()
    assert len({*hashes.values(), after["first"]["content_hash"]}) == 4
    assert after == before | {"first": after["first"] | {"image": "a/3.png"}}


def test_items_beside_day_folders_are_landed_once(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    for day, number in ((DAY1, 1), (DAY2, 2)):
        write_log(tmp_path / str(day), "events.jsonl.gz", [build_event(number, day)])
    write_log(tmp_path, "items.jsonl.gz", [{"item_id": "i"}, {"item_id": "j", "updated_at": f"{DAY2}T00:00:00Z"}])
    rows_in = [ingest.run(Lake(lake.root, str(day)), settings, day, data=tmp_path).rows_in for day in (DAY1, DAY2)]
    assert rows_in == [2, 2]  # an event and an item each
    due_days = {row["item_id"]: row["day"] for row in lake.arrow("bronze.raw_items").to_pylist()}
    assert due_days == {"i": DAY1, "j": DAY2}


def test_a_file_that_is_cut_off_is_named_and_nothing_is_landed(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    write_log(
        tmp_path / str(DAY1), "events.jsonl.gz", [build_event(number, DAY1, price=number / 7) for number in range(999)]
    )
    file = tmp_path / str(DAY1) / "events.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-4000])
    with pytest.raises(UserError, match=rf"{DAY1}/events\.jsonl\.gz: cannot be read to its end"):
        ingest.run(lake, settings, DAY1, data=tmp_path)
    assert lake.arrow("bronze.raw_events").num_rows == 0


def test_a_wrong_parquet_column_type_is_named(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / str(DAY1)).mkdir()
    events = pa.Table.from_pylist([build_event(1, DAY1)])
    pq.write_table(events.set_column(4, "ts", pa.array([True])), tmp_path / str(DAY1) / "events.parquet")
    with pytest.raises(UserError, match=r"events\.parquet: has a column ts of type bool, expected a timestamp"):
        ingest.run(lake, settings, DAY1, data=tmp_path)


def test_a_failed_check_leaves_the_table_unchanged(
    lake: Lake, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path / str(DAY1), "events.jsonl.gz", [build_event(1, DAY1)])
    write_log(tmp_path / str(DAY1), "items.jsonl.gz", [{"item_id": "i", "title": "t"}])
    ingest.run(lake, settings, DAY1, data=tmp_path)
    at_most_1 = gxe.ExpectColumnValuesToBeBetween(column="value", max_value=1)
    monkeypatch.setattr(ingest.silver_events, "CRITICAL", [at_most_1])
    write_log(tmp_path / str(DAY1), "events.jsonl.gz", [build_event(1, DAY1, value=7.25)])
    with pytest.raises(UserError, match=r"silver\.events breaks column_values_to_be_between\(value\)") as raised:
        ingest.run(lake, settings, DAY1, data=tmp_path)
    assert lake.arrow("silver.events")["value"].to_pylist() == [None]
    page = Path(str(raised.value).rpartition(" see ")[2])
    assert page.is_relative_to(Path(lake.root, DOCS))
    assert "7.25" in page.read_text(), "the page of the check shows no wrong value"


def test_a_day_without_events_is_an_error_unless_the_settings_allow_it(
    lake: Lake, settings: Settings, three_days: Path
) -> None:
    day = date(2026, 11, 17)
    with pytest.raises(UserError, match=r"2026-11-17; .* write may_be_empty = true at the top of .*landing\.toml"):
        ingest.run(lake, settings, day, data=three_days)
    lenient = settings.model_copy(update={"landing": settings.landing.model_copy(update={"may_be_empty": True})})
    result = ingest.run(lake, lenient, day, data=three_days)
    assert (result.rows_in, lake.arrow("silver.events").num_rows) == (0, 0)


def test_a_missing_folder_is_named(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist"):
        ingest.run(lake, settings, DAY1, data=tmp_path / "nowhere")
