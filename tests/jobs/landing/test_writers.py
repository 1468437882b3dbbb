"""Files as many programs write them (`writers.py`), read by Spark's executors and in the job: the same rows."""

import math
from typing import Any

import pytest

from jobs import ingest
from jobs.lake import JobResult, Lake
from jobs.settings.tree import load_settings
from tests.jobs.landing import writers
from tests.jobs.landing.engines import ENGINES, use_engine
from tests.jobs.landing.writers import DAY, NINE

Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=ENGINES)
def landed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, JobResult]:
    """A lake with the files of all writers, and the result of ingest; no test writes to it."""
    folder = tmp_path_factory.mktemp("writers")
    lake = Lake(folder / "lake", run_id="test")
    lake.create()
    with pytest.MonkeyPatch.context() as patch:
        settings = use_engine(request.param, load_settings(), patch)
        return lake, ingest.run(lake, settings, DAY, data=writers.write_all(folder / "landing"))


@pytest.fixture
def events(landed: tuple[Lake, JobResult]) -> Rows:
    return {row["event_id"]: row for row in landed[0].arrow("silver.events").to_pylist()}


@pytest.fixture
def items(landed: tuple[Lake, JobResult]) -> Rows:
    return {row["item_id"]: row for row in landed[0].arrow("silver.items").to_pylist()}


def test_parquet_of_any_writer_is_read(events: Rows) -> None:
    assert events["int96"]["ts"] == NINE
    assert (events["nan1"]["price"], events["nan2"]["price"]) == (None, 2.5)
    odd = [
        {name: events[key][name] for name in ("item_id", "user_id", "price", "position")} for key in ("odd1", "odd2")
    ]
    assert odd == [
        {"item_id": "i", "user_id": "7", "price": 1.5, "position": 3},
        {"item_id": "i", "user_id": None, "price": None, "position": None},
    ]


def test_hours_have_folders_and_whole_floats_are_whole_numbers(events: Rows) -> None:
    assert {"hour06", "hour07"} <= events.keys()
    assert (events["pandas1"]["position"], events["pandas2"]["position"]) == (2, None)


def test_every_form_of_iso_8601_and_numbers_since_1970_are_the_same_time(events: Rows) -> None:
    assert {name: row["ts"] for name, row in events.items() if name.startswith("time")} == dict.fromkeys(
        [*(f"time{n}" for n in range(12)), "time-number"], NINE
    )


def test_an_impression_and_a_click_with_one_id_are_two_events(events: Rows) -> None:
    assert {name: row["event"] for name, row in events.items() if name.startswith("auction")} == {
        "auction": "impression",
        "auction#click#i": "click",
    }


def test_null_markers_are_nulls(events: Rows) -> None:
    assert (events["no-user"]["user_id"], events["no-user"]["request_id"]) == (None, None)


def test_a_spreadsheet_is_read(items: Rows) -> None:
    chair = {name: items["excel"][name] for name in ("title", "description", "price")}
    assert chair == {"title": 'a "Nordic" chair', "description": "two\r\nlines", "price": 3.5}


def test_all_gzip_members_count_and_a_second_header_is_no_item(events: Rows, items: Rows) -> None:
    assert {"member0", "member1", "member2"} <= events.keys()
    assert {"joined1", "joined2"} <= items.keys()
    assert "item_id" not in items


def test_several_objects_on_a_line_are_several_events(events: Rows) -> None:
    assert {"fire1", "fire2", "list1", "list2"} <= events.keys()


def test_no_category_is_lost(items: Rows) -> None:
    assert {name: items[name]["category"] for name in ("gt", "bar", "plain", "sale", "json")} == {
        "gt": ["Home", "Chairs"], "bar": ["Home", "Chairs"], "plain": ["Home"], "sale": ["[Sale] Home"],
        "json": ["Home", "Chairs"],
    }  # fmt: skip


def test_what_cannot_be_understood_is_rejected_with_file_and_line(landed: tuple[Lake, JobResult]) -> None:
    rows = landed[0].arrow("bronze.rejects").to_pylist()
    bad = {row["line"]: row["reason"] for row in rows if row["file"] == f"dt={DAY}/events-bad.jsonl"}
    assert bad == {
        1: "item_id is an object or a list", 2: "item_id is an object or a list", 3: "price is not a number",
        4: "price is not a number", 5: "price is not a number", 6: 'an id is a word for "missing", such as null',
        7: "longer than 1,048,576 bytes", 8: "position is not between 0 and 2147483647", 9: "ts is too late",
        10: "ts is in the future", 11: "not a JSON object", 12: "not utf-8",
    }  # fmt: skip
    others = [(row["file"], row["line"], row["reason"]) for row in rows if "events-bad" not in row["file"]]
    assert others == [(f"dt={DAY}/items-joined.csv.bz2", 3, "the header again")]


def test_every_line_and_every_file_is_accounted_for(landed: tuple[Lake, JobResult]) -> None:
    lake, result = landed
    total = result.rows_out + result.rows_rejected + result.rows_duplicate + result.rows_conflicting
    assert (result.rows_in, result.rows_rejected, result.rows_duplicate) == (total, 13, 1)
    files = lake.arrow("bronze.landed_files").to_pylist()
    assert sum(row["rows"] or 0 for row in files) == result.rows_in
    ignored = {row["file"].removeprefix(f"dt={DAY}/") for row in files if row["status"] == "ignored"}
    assert ignored == {"_SUCCESS", ".events.jsonl.crc", "._events.jsonl", ".DS_Store", "README.md"}
    assert all(math.isfinite(row["price"] or 0) for row in lake.arrow("silver.events").to_pylist())


def test_files_keep_statistics_of_those_columns_that_their_table_names(landed: tuple[Lake, JobResult]) -> None:
    for name, columns in (("bronze.raw_events", {"file", "event_day"}), ("silver.events", {"landed_day"})):
        actions = landed[0].delta(name).get_add_actions(flatten=True)
        statistics = {column.removeprefix("min.") for column in actions.column_names if column.startswith("min.")}
        assert statistics == columns
        assert sum(actions["num_records"].to_pylist()) == landed[0].arrow(name).num_rows
