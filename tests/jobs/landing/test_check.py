"""`make check-landing`: what it understands, what it proposes, and that no run reads files by guesses."""

import gzip
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import ingest
from jobs.lake import Lake, UserError
from jobs.landing.check import check_landing
from jobs.landing.days import list_event_days
from jobs.landing.preview import read_head
from jobs.landing.settings import Landing
from jobs.landing.toml import load_landing
from jobs.settings.tree import load_settings

DAY = date(2026, 11, 20)


def check(folder: Path) -> list[str]:
    return check_landing(folder, Landing(), max_reject_share=0.5)


def write_events(path: Path, count: int = 20, hours: int = 0, **more: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first = datetime(2026, 11, 20, 0, 30, tzinfo=UTC)
    rows = [
        {"event_id": f"e{n}", "user_id": "u", "item_id": "i", "event": "click"}
        | {"ts": (first + timedelta(hours=n % 2 * hours)).isoformat()}
        | more
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def confirm(folder: Path) -> None:
    path = folder / "landing.toml"
    path.write_text(path.read_text().replace("unchecked = true\n", ""))


def test_good_logs_are_shown_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_events(tmp_path / "2026-11-20" / "events.jsonl", session="s")
    with open(tmp_path / "2026-11-20" / "events.jsonl", "a") as file:
        file.write('{"event_id": "e99", "title": "\\u001b[31m"}\n\x1b[31mx\n')
    (tmp_path / "items.csv").write_text("item_id,title\ni,Chair\n")
    (tmp_path / "README.md").touch()
    assert check(tmp_path) == []
    text = capsys.readouterr().out
    assert "events  1 (jsonl), 0.0 MiB, days 2026-11-20 to 2026-11-20" in text
    assert "ignored README.md: not a data file" in text
    assert "fields: event_id, user_id, item_id, event, ts\n" in text
    assert "columns that are not used: session" in text
    assert "event types: click 20" in text
    assert text.count("2026-11-20/events.jsonl:") == 10 + 2
    assert "events.jsonl:21 item_id is missing" in text
    assert r"not a JSON object: \x1b[31mx" in text
    assert "\x1b" not in text
    assert not (tmp_path / "landing.toml").exists()


def test_other_names_are_proposed_and_read_only_after_a_person_agreed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "landing"
    data.mkdir()
    header = "visitor;product_id;action;time;price"
    lines = [
        "u1;p1;view;2026-11-20 10:00:00;1,5",
        "u1;p1;buy;2026-11-20 10:01:00;1,5",
        "u2;p1;add_to_cart;2026-11-20 11:00:00;",
    ]
    (data / "clicks-20261120.csv").write_text("\n".join([header, *lines]))
    (data / "products.csv").write_bytes("sku;name\np1;Stühle\n".encode("latin-1"))
    (data / "notes.csv").write_text("a,b\n1,2\n")
    reasons = check(data)
    assert reasons == ["landing.toml holds guesses: check the lines marked GUESS, then delete `unchecked = true`"]
    text = capsys.readouterr().out
    assert "notes.csv looks like data but would not be read" in text
    assert "event types: click 1, purchase 1" in text
    assert "title=Stühle" in text
    proposal = (data / "landing.toml").read_text()
    assert all("GUESS" in line for line in proposal.splitlines() if " = " in line and line[0] not in "#[u")

    lake = Lake(tmp_path / "lake", run_id="test")
    lake.create()
    with pytest.raises(UserError, match=r"landing\.toml holds guesses"):
        ingest.run(lake, load_settings(), DAY, data=data)
    with pytest.raises(UserError, match=r"landing\.toml holds guesses"):
        list_event_days(data, Landing())

    confirm(data)
    assert check(data) == []
    assert (data / "landing.toml").read_text() == proposal.replace("unchecked = true\n", "")
    ingest.run(lake, load_settings(), DAY, data=data)
    events = {row["event"]: row for row in lake.arrow("silver.events").to_pylist()}
    assert events.keys() == {"click", "purchase"}
    assert (events["purchase"]["user_id"], events["purchase"]["item_id"], events["purchase"]["price"]) == (
        "u1",
        "p1",
        1.5,
    )
    assert lake.arrow("silver.items")["title"].to_pylist() == ["Stühle"]


def test_a_landing_toml_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "landing.toml").write_text('ignore = ["x.csv"]\n')
    (tmp_path / "clicks.csv").write_text("visitor,product_id,action,time\nu,p,view,2026-11-20 10:00:00\n")
    assert check(tmp_path) == ["clicks.csv looks like data but would not be read", "there is no file of events"]
    assert (tmp_path / "landing.toml").read_text() == 'ignore = ["x.csv"]\n'


def test_the_time_zone_of_the_folders_is_proposed(tmp_path: Path) -> None:
    write_events(tmp_path / "2026-11-20" / "events.jsonl", count=40, hours=31)
    check(tmp_path)
    assert load_landing(tmp_path, Landing(), with_guesses=True).day_zone == "America/Los_Angeles"


def test_fields_inside_objects_are_found(tmp_path: Path) -> None:
    row = {"messageId": "m", "user": {"id": "u"}, "product": {"id": "p"}, "action": "view", "timestamp": 1795168800}
    (tmp_path / "events.jsonl").write_text((json.dumps(row) + "\n") * 3)
    check(tmp_path)
    columns = load_landing(tmp_path, Landing(), with_guesses=True).events.columns
    assert (columns["user_id"], columns["item_id"], columns["event_id"]) == ("user.id", "product.id", "messageId")
    confirm(tmp_path)
    assert check(tmp_path) == []


def test_the_name_of_a_file_says_its_event_unless_several_files_differ(tmp_path: Path) -> None:
    text = "user,sku,time\nu,p,2026-11-20T10:00:00Z\n"
    (tmp_path / "purchases.csv").write_text(text)
    check(tmp_path)
    proposal = tmp_path / "landing.toml"
    assert 'fixed = { event = "purchase" }  # GUESS' in proposal.read_text()
    proposal.unlink()
    (tmp_path / "clicks.csv").write_text(text)
    assert any("has no column event" in reason for reason in check(tmp_path))
    assert "fixed" not in proposal.read_text()


def test_unknown_event_types_are_named(tmp_path: Path) -> None:
    write_events(tmp_path / "events.jsonl", event="frobnicate")
    assert "events of unknown types: frobnicate 20: set [events.names]" in check(tmp_path)
    assert '# "frobnicate" = "ignore"' in (tmp_path / "landing.toml").read_text()


@pytest.mark.parametrize(
    ("preset", "name", "text"),
    [
        ("mind", "behaviors.tsv", "1\tU\t11/20/2026 10:00:00 AM\t\tN1-0 N2-1\n"),
        ("retailrocket", "events.csv", "timestamp,visitorid,event,itemid,transactionid\n1795168800000,1,view,7,\n"),
        ("amazon", "Books.jsonl", '{"rating": 5, "parent_asin": "B", "user_id": "u", "timestamp": 1795168800000}\n'),
        ("ga4", "events_20261120.json", '{"event_name": "view_item", "event_timestamp": "1795168800000000",'
         ' "user_pseudo_id": "1", "items": [{"item_id": "A"}]}\n'),
        ("segment", "track-1.json", '{"type": "track", "event": "Product Viewed", "messageId": "m", "anonymousId": "a",'
         ' "timestamp": "2026-11-20T10:00:00Z", "properties": {"product_id": "A"}}\n'),
    ],
)  # fmt: skip
def test_usual_exports_are_recognised(tmp_path: Path, preset: str, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    check(tmp_path)
    assert load_landing(tmp_path, Landing(), with_guesses=True).preset == preset
    confirm(tmp_path)
    assert check(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff" * 999, b"{", b"[[[", b'"', b"a\tb\n\xff", gzip.compress(b"x", mtime=0)[:-3]],
    ids=["empty", "binary", "object", "lists", "quote", "tab", "cut gzip"],
)
@pytest.mark.parametrize("name", ["events.jsonl", "events.csv", "events.parquet", "clicks.gz", "items.tsv"])
def test_no_file_breaks_it(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    check(tmp_path)


def test_a_dictionary_of_long_texts_is_read_in_small_parts(tmp_path: Path) -> None:
    note = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["x" * (1 << 20)]))
    pq.write_table(pa.table({"id": list(range(300)), "note": note}), tmp_path / "clicks.parquet")
    head = read_head(tmp_path / "clicks.parquet", "clicks.parquet")
    assert head is not None
    assert 0 < sum(len(row["note"]) for row in head.rows) <= 17 << 20


def test_the_command_says_what_to_do_in_its_last_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.landing.check", "--data", str(tmp_path)]
    missing = subprocess.run([*command, "--data", str(tmp_path / "x")], capture_output=True, text=True)
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "does not exist" in missing.stderr
    write_events(tmp_path / "events.jsonl")
    ready = subprocess.run(command, capture_output=True, text=True)
    assert (ready.returncode, ready.stdout.splitlines()[-1]) == (0, "Ready for ingest.")
