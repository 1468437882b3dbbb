"""Presets: files as well-known exports write them, read with one line in `landing.toml`."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs import ingest
from jobs.lake import Lake, UserError
from jobs.landing.fields import IGNORED
from jobs.landing.files import list_landing_files
from jobs.landing.lines import describe_reading, split_file
from jobs.landing.parse import read_files
from jobs.landing.settings import Landing
from jobs.landing.toml import PRESETS, load_landing
from jobs.settings.tree import Settings, load_settings

Row = dict[str, Any]
DAY = date(2026, 11, 20)
TEN = datetime(2026, 11, 20, 10, tzinfo=UTC)
FIELDS = ("user_id", "item_id", "event", "ts", "value", "price", "position", "order_id")


def write(folder: Path, preset: str, **files: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "landing.toml").write_text(f'preset = "{preset}"\n')
    for name, lines in files.items():
        (folder / name.replace("__", ".")).write_text("".join(f"{line}\n" for line in lines))


def read(folder: Path) -> dict[str, list[Row]]:
    """The rows of all files by kind, sorted by line and place in the line."""
    landing = load_landing(folder, Landing())
    values = {"since": DAY, "day": DAY, "run_id": "", "first_day": DAY, "undated_day": DAY}
    rows: dict[str, list[Row]] = {"events": [], "items": []}
    for file in list_landing_files(folder, landing).files:
        for batch in read_files(describe_reading(file.kind, landing, values), split_file(file)):
            rows[file.kind] += batch.to_pylist()
    return {kind: sorted(r, key=lambda x: (x["line"], x.get("event_id") or "")) for kind, r in rows.items()}


def good(rows: list[Row], *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(row[field] for field in fields or FIELDS) for row in rows if row["reason"] is None]


def reasons(rows: list[Row]) -> dict[int, str]:
    return {row["line"]: row["reason"] for row in rows if row["reason"]}


def days_of(rows: list[Row]) -> dict[int, date]:
    """The days on which lines are due. One that is ignored counts on its own day, too."""
    return {row["line"]: row["day"] for row in rows}


def test_mind_has_an_impression_for_each_item_shown_and_a_click_for_each_clicked(tmp_path: Path) -> None:
    behaviors = [
        "1\tU1\t11/20/2026 10:00:00 AM\tN9 N8\tN1-0 N2-1", "2\tU2\t11/20/2026 10:00:00 PM\t\tN1-0",
        "3\tU2\t11/20/2026 10:00:00 PM\t\tN1 N2", "4",
    ]  # fmt: skip
    news = ['N1\tsports\tgolf\t"PGA" Tour\tIt said "x\thttps://x\t[]\t[]', "N2\tnews\t\tT\t\t\t\t", "N3\tx"]
    write(tmp_path, "mind", behaviors__tsv=behaviors, news__tsv=news)
    rows = read(tmp_path)
    assert good(rows["events"], "user_id", "item_id", "event", "ts", "request_id", "position") == [
        ("U1", "N1", "impression", TEN, "1", 0),
        ("U1", "N2", "click", TEN, "1", 1),
        ("U1", "N2", "impression", TEN, "1", 1),
        ("U2", "N1", "impression", TEN.replace(hour=22), "2", 0),
    ]
    assert reasons(rows["events"]) == {
        3: "not a list of impressions that end in -0 or -1",
        4: "not the five columns of behaviors.tsv",
    }
    assert good(rows["items"], "item_id", "title", "description", "category") == [
        ("N1", '"PGA" Tour', 'It said "x', ["sports", "golf"]),
        ("N2", "T", None, ["news"]),
    ]
    assert reasons(rows["items"]) == {3: "not the eight columns of news.tsv"}


def test_retailrocket_views_are_clicks_and_transactions_purchases(tmp_path: Path) -> None:
    ms = int(TEN.timestamp() * 1000)
    events = [
        "timestamp,visitorid,event,itemid,transactionid",
        f"{ms},1,view,7,", f"{ms},1,addtocart,7,", f"{ms},1,transaction,7,12",
    ]  # fmt: skip
    properties = ["timestamp,itemid,property,value", f"{ms},7,categoryid,1338", f"{ms},7,888,1116713 960601 n277.200"]
    write(
        tmp_path, "retailrocket", events__csv=events, item_properties_part1__csv=properties, category_tree__csv=["a,b"]
    )
    rows = read(tmp_path)
    assert good(rows["events"]) == [
        ("1", "7", "click", TEN, None, None, None, None),
        ("1", "7", "purchase", TEN, None, None, None, "12"),
    ]
    assert reasons(rows["events"]) == {3: IGNORED}
    assert good(rows["items"], "item_id", "category", "updated_at") == [("7", ["1338"], TEN)]
    assert reasons(rows["items"]) == {3: IGNORED}


def test_amazon_reviews_are_ratings(tmp_path: Path) -> None:
    review = {"rating": 5.0, "title": "t", "asin": "B1", "parent_asin": "B0", "user_id": "AG"}
    meta: list[Row] = [
        {"main_category": "All Beauty", "title": "T", "features": ["f"], "description": ["d", "e"], "price": 9.5,
         "categories": [], "store": "S", "parent_asin": "B0"},
        {"title": "T", "features": None, "description": "", "price": "from 3", "categories": ["A", "B"],
         "parent_asin": "B2"},
    ]  # fmt: skip
    write(
        tmp_path, "amazon",
        All_Beauty__jsonl=[json.dumps(review | {"timestamp": int(TEN.timestamp() * 1000)})],
        meta_All_Beauty__jsonl=[json.dumps(row) for row in meta],
    )  # fmt: skip
    rows = read(tmp_path)
    assert good(rows["events"]) == [("AG", "B0", "rating", TEN, 5.0, None, None, None)]
    assert good(rows["items"], "item_id", "title", "description", "category", "price", "attributes") == [
        ("B0", "T", "f d e", ["All Beauty"], 9.5, '{"store":"S"}'),
        ("B2", "T", None, ["A", "B"], None, None),
    ]


def test_each_item_of_a_ga4_event_is_an_event(tmp_path: Path) -> None:
    micros = str(int(TEN.timestamp() * 1e6))

    def event(name: str, items: list[Row], **more: Any) -> str:
        return json.dumps(
            {"event_name": name, "event_timestamp": micros, "user_pseudo_id": "1.2", "items": items} | more
        )

    events = [
        event("view_item_list", [{"item_id": "A", "price": "3.5", "item_list_index": "(not set)"}, {"item_id": "B"}]),
        event("page_view", []),
        event("add_to_cart", [{"item_id": "A"}]),
        event("purchase", [{"item_id": "A", "quantity": "2", "price": 3.5}], ecommerce={"transaction_id": "T"}),
        event("purchase", []),
        event("select_item", [{"item_id": "(not set)"}]),
        "[1]",
    ]
    write(tmp_path, "ga4", events_20261120__json=events)
    rows = read(tmp_path)["events"]
    assert good(rows) == [
        ("1.2", "A", "impression", TEN, None, 3.5, 0, None),
        ("1.2", "B", "impression", TEN, None, None, 1, None),
        ("1.2", "A", "purchase", TEN, 2.0, 3.5, None, "T"),
    ]
    assert len({row["request_id"] for row in rows if row["event"] == "impression"}) == 1
    assert reasons(rows) == {
        2: IGNORED, 3: IGNORED, 5: "a purchase or refund without items", 6: "item_id is missing",
        7: "not a JSON object",
    }  # fmt: skip


def test_each_product_of_a_segment_call_is_an_event(tmp_path: Path) -> None:
    def call(event: str | None, properties: Any, **more: Any) -> str:
        row = {"type": "track", "event": event, "messageId": "m", "anonymousId": "a", "timestamp": TEN.isoformat()}
        return json.dumps(row | {"properties": properties} | more)

    calls = [
        call("Product List Viewed", {"products": [{"product_id": "A", "position": 1}, {"sku": "B"}]}),
        call("Product Viewed", {"product_id": "A", "price": 3.5}, userId="u"),
        call(None, {}, type="page"),
        call("Order Completed", {"order_id": "O", "products": [{"product_id": "A", "quantity": 2}]}, userId="u"),
        call("Order Completed", {"order_id": "O", "products": "A"}),
        call(None, {}, type="page", timestamp="2026-11-18T10:00:00Z"),
    ]
    write(tmp_path, "segment", tracks__json=calls)
    rows = read(tmp_path)["events"]
    assert good(rows) == [
        ("a", "A", "impression", TEN, None, None, 0, None),
        ("a", "B", "impression", TEN, None, None, 1, None),
        ("u", "A", "click", TEN, None, 3.5, None, None),
        ("u", "A", "purchase", TEN, 2.0, None, None, "O"),
    ]
    assert reasons(rows) == {3: IGNORED, 5: "an order without products", 6: IGNORED}
    assert days_of(rows)[6] == date(2026, 11, 18)


def test_each_product_entity_of_a_snowplow_event_is_an_event(tmp_path: Path) -> None:
    vendor = "iglu:com.snowplowanalytics.snowplow.ecommerce"

    def event(action: str, *entities: tuple[str, Row]) -> str:
        columns = [""] * 131
        columns[3], columns[6], columns[15], columns[124] = "2026-11-20 11:00:00", "e", "d", "2026-11-20 10:00:00.000"
        data = [{"schema": f"{vendor}/{name}/jsonschema/1-0-0", "data": entity} for name, entity in entities]
        columns[52] = json.dumps({"schema": "contexts", "data": data})
        action_schema = f"{vendor}/snowplow_ecommerce_action/jsonschema/1-0-2"
        columns[58] = json.dumps({"schema": "unstruct", "data": {"schema": action_schema, "data": {"type": action}}})
        return "\t".join(columns)

    events = [
        event("list_view", ("product", {"id": "A", "price": 1}), ("product", {"id": "B"})),
        event("transaction", ("product", {"id": "A", "quantity": 2}), ("transaction", {"transaction_id": "T"})),
        event("refund", ("refund", {"transaction_id": "T"})),
        "\t".join(["web", *[""] * 130]),
        "web\tx",
        event("add_to_cart").replace("2026-11-20", "2026-11-18"),
    ]
    write(tmp_path, "snowplow", enriched__tsv=events)
    rows = read(tmp_path)["events"]
    assert good(rows) == [
        ("d", "A", "impression", TEN, None, 1.0, 0, None),
        ("d", "B", "impression", TEN, None, None, 1, None),
        ("d", "A", "purchase", TEN, 2.0, None, None, "T"),
    ]
    assert reasons(rows) == {
        3: "a transaction or refund without products", 4: IGNORED, 5: "not the 131 columns of an enriched event",
        6: IGNORED,
    }  # fmt: skip
    assert days_of(rows)[6] == date(2026, 11, 18)


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.toml")))
@pytest.mark.parametrize(
    "text", ['{"items": 1, "properties": [], "data": {}}', "\t" * 130 + "x", "[]", "{", "null", '""', "x"]
)
def test_no_line_breaks_a_preset(tmp_path: Path, preset: str, text: str) -> None:
    landing = load_landing_of(tmp_path, preset)
    for kind in ("events", "items"):
        dialect = getattr(landing, kind)
        if not dialect.query or (dialect.format == "" and "csv" in dialect.files[0]):
            continue
        (tmp_path / "file.jsonl").write_text(text + "\n")
        file = {"path": str(tmp_path / "file.jsonl"), "name": "f", "format": dialect.format or "jsonl", "day": None}
        reading = describe_reading(
            kind, landing, {"since": DAY, "day": DAY, "run_id": "", "first_day": DAY, "undated_day": DAY}
        )
        lines = [row["line"] for batch in read_files(reading, [file]) for row in batch.to_pylist()]
        assert lines == [1]


def load_landing_of(folder: Path, preset: str) -> Landing:
    write(folder, preset)
    return load_landing(folder, Landing())


@pytest.mark.parametrize("local_mib", [0, 16], ids=["Spark", "in the job"])
def test_ignored_lines_are_counted_and_do_not_stop_a_run(tmp_path: Path, local_mib: int) -> None:
    settings: Settings = load_settings()
    settings = settings.model_copy(update={"landing": settings.landing.model_copy(update={"local_mib": local_mib})})
    lake = Lake(tmp_path / "lake", run_id="test")
    lake.create()
    call = {"type": "track", "messageId": "m", "anonymousId": "a", "timestamp": TEN.isoformat()}
    calls = [call | {"event": "Product Viewed", "properties": {"product_id": "A"}}] + [call | {"type": "page"}] * 9
    write(tmp_path / "landing", "segment", tracks__json=[json.dumps(row) for row in calls])
    result = ingest.run(lake, settings, DAY, data=tmp_path / "landing")
    assert (result.rows_in, result.rows_out, result.rows_rejected) == (10, 1, 9)
    assert set(lake.arrow("bronze.rejects")["reason"].to_pylist()) == {IGNORED}


def test_a_preset_that_fits_no_line_stops_the_run(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", run_id="test")
    lake.create()
    write(
        tmp_path / "landing", "segment", tracks__json=[json.dumps({"user_id": "u", "item_id": "i", "event": "click"})]
    )
    with pytest.raises(UserError, match=r"all 1 lines of events are ignored.*make check-landing"):
        ingest.run(lake, load_settings(), DAY, data=tmp_path / "landing")
