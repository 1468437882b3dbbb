"""The first `landing.toml` that `make check-landing` writes: it never hides a log, and asks for what it cannot know."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from jobs.landing.check import check_landing
from jobs.landing.settings import Landing

GUESSES = "landing.toml holds guesses: check the lines marked GUESS, then delete `unchecked = true`"
LINES = "visitor,sku,action,time\nu,p,view,2026-11-20T10:00:00Z\n"
UNKNOWN = "kund;vara;handling;tid\nk1;v1;visning;2026-11-20T10:00:00Z\n"


def check(folder: Path) -> list[str]:
    return check_landing(folder, Landing(), max_reject_share=0.5)


def load_proposal(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "landing.toml").read_text())


@pytest.mark.parametrize("empty", ["", "visitor,sku,action,time\n"])
def test_an_empty_file_among_logs_ignores_none_of_them(tmp_path: Path, empty: str) -> None:
    for n in range(1, 4):
        (tmp_path / f"klicks-{n}.csv").write_text(LINES)
    (tmp_path / "klicks-4.csv").write_text(empty)
    assert check(tmp_path) == [GUESSES]
    proposal = load_proposal(tmp_path)
    assert proposal["events"]["files"] == ["klicks-*.csv"]
    assert "ignore" not in proposal


def test_an_empty_file_of_another_name_is_asked_for_and_not_ignored(tmp_path: Path) -> None:
    (tmp_path / "klicks.csv").write_text(LINES)
    (tmp_path / "orders.csv").touch()
    assert check(tmp_path) == ["orders.csv looks like data but would not be read", GUESSES]
    assert "# orders.csv holds no line" in (tmp_path / "landing.toml").read_text()


def test_files_by_day_and_hour_that_are_ignored_are_so_in_the_end(tmp_path: Path) -> None:
    for name, text in (("klicks-1.csv", LINES), ("notes-1.csv", "a,b\n1,2\n")):
        path = tmp_path / "dt=2026-11-20/stunde=06" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert check(tmp_path) == [GUESSES]
    proposal = load_proposal(tmp_path)
    assert proposal["ignore"] == ["dt={day}/stunde=*/notes-*.csv"]
    assert proposal["events"]["files"] == ["dt={day}/stunde=*/klicks-*.csv"]


def test_columns_in_an_unknown_language_are_shown_and_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "klick-1.csv").write_text(UNKNOWN)
    (tmp_path / "notes.xlsx").write_bytes(b"PK\x03\x04")
    reasons = check(tmp_path)
    assert reasons == ["klick-1.csv looks like data but would not be read", "there is no file of events", GUESSES]
    assert "# klick-1.csv has the columns: kund, vara, handling, tid" in capsys.readouterr().out
    path = tmp_path / "landing.toml"
    assert tomllib.loads(path.read_text())["ignore"] == ["notes.xlsx"]

    text = path.read_text().replace("unchecked = true\n", "")
    start = text.index("# [events]")
    text = text[:start] + text[start:].replace("# ", "", 99).replace("  field =", "  # field =")
    text = text.replace("  or, if", "  # or, if").replace("  name in", "  # name in").replace("  GUESS", "  # GUESS")
    for field, column in {"user_id": "kund", "item_id": "vara", "event": "handling", "ts": "tid"}.items():
        text = text.replace(f'{field} = "<column>"', f'{field} = "{column}"')
    path.write_text(text.replace("<name>", "visning"))
    assert check(tmp_path) == []


def test_german_names_are_known(tmp_path: Path) -> None:
    (tmp_path / "klicks.csv").write_text("Kunde,Artikelnr,Zeitstempel,Aktion\nk,a,2026-11-20T10:00:00Z,Seitenaufruf\n")
    assert check(tmp_path) == [GUESSES]
    events = load_proposal(tmp_path)["events"]
    assert events["columns"] == {"user_id": "Kunde", "item_id": "Artikelnr", "event": "Aktion", "ts": "Zeitstempel"}
    assert events["names"] == {"Seitenaufruf": "click"}


def test_ga4_is_asked_for_the_time_zone_of_its_days(tmp_path: Path) -> None:
    row = '{"event_name": "view_item", "event_timestamp": "1795168800000000", "user_pseudo_id": "1", "items": [{}]}\n'
    (tmp_path / "events_20261120.json").write_text(row)
    check(tmp_path)
    assert '# day_zone = "America/New_York"' in (tmp_path / "landing.toml").read_text()


def test_a_pattern_that_matches_no_file_is_named_with_the_path_that_is_most_like_it(tmp_path: Path) -> None:
    path = tmp_path / "dt=2026-11-20/stunde=06/klicks-1.csv"
    path.parent.mkdir(parents=True)
    path.write_text(LINES)
    (tmp_path / "landing.toml").write_text('[events]\nfiles = ["{day}/stunde=*/klicks-*.csv"]\n')
    reasons = check(tmp_path)
    assert reasons[-1] == (
        '[events] files: the pattern "{day}/stunde=*/klicks-*.csv" matches no file; the most similar path is'
        " dt=2026-11-20/stunde=06/klicks-1.csv"
    )
