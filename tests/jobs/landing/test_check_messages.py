"""What `make check-landing` and ingest say about files that are not read as meant: the cause, and what to write."""

from datetime import date
from pathlib import Path

import pytest

from jobs.lake import UserError
from jobs.landing.accounting import LineCount, check_reject_share
from jobs.landing.check import check_landing
from jobs.landing.settings import Landing

DAY = date(2026, 11, 20)
HEADER = "Kunde;Artikelnr;Aktion;Wann\n"
LINE = "k1;a1;click;2026-11-20T10:00:00Z\n"


def check(folder: Path) -> list[str]:
    return check_landing(folder, Landing(), max_reject_share=0.5)


def write_csv(folder: Path, settings: str, text: str = HEADER + LINE) -> None:
    (folder / "events.csv").write_text(text)
    (folder / "landing.toml").write_text(settings)


def test_only_the_column_that_is_missing_is_named_whatever_the_delimiter(tmp_path: Path) -> None:
    columns = 'user_id = "Kunde"\nitem_id = "Artikelnr"\nevent = "Aktion"\nts = "Zeitstempel"'
    write_csv(tmp_path, f'[events]\nsame = ["item_id", "ts"]\n[events.columns]\n{columns}')
    assert check(tmp_path) == [
        "events.csv line 1 has no column Zeitstempel: its first line names Kunde, Artikelnr, Aktion, Wann. Below"
        ' [events.columns] in landing.toml, write ts = "<column>"'
    ]
    (tmp_path / "landing.toml").write_text("")
    reason = check(tmp_path)[0]
    assert reason.endswith('write item_id = "<column>" and event = "<column>" and ts = "<column>"')
    (tmp_path / "events.csv").write_text(HEADER.replace(";", "^") + LINE.replace(";", "^"))
    assert check(tmp_path)[0].endswith("or give the delimiter")


def test_a_header_whose_delimiter_is_rare_in_names_is_still_split_at_the_needed_columns(tmp_path: Path) -> None:
    write_csv(tmp_path, "", 'event_id,item_id,event,ts,"a;b;c;d;e;f"\ne,i,click,2026-11-20T10:00:00Z,\n')
    assert check(tmp_path) == []


def test_events_without_users_and_items_without_titles_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events.csv").write_text("event_id,kunde,item_id,event,ts\ne,k,i,click,2026-11-20T10:00:00Z\n")
    (tmp_path / "items.csv").write_text("item_id,colour\ni,red\n")
    assert check(tmp_path) == []
    text = capsys.readouterr().out
    assert "WARNING no line has a user_id" in text
    assert "WARNING no line has a title" in text
    (tmp_path / "landing.toml").write_text('[events.columns]\nuser_id = "kunde"\n[items.columns]\ntitle = "colour"\n')
    assert check(tmp_path) == []
    assert "WARNING" not in capsys.readouterr().out


def test_a_reason_comes_with_the_setting_that_helps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"e{n},u,i,click,2026-11-20T10:00:00Z,{n}" for n in range(3)] + ['e,u,i,click,2026-11-20T10:00:00Z,"1,5"']
    (tmp_path / "events.csv").write_text("event_id,user_id,item_id,event,ts,price\n" + "\n".join(lines))
    check(tmp_path)
    text = capsys.readouterr().out
    assert "events.csv:5 price is not a number: {" in text
    assert '    price is not a number: if its decimals follow a comma, write decimal = "," below' in text
    counts = {"events": [LineCount(DAY, None, "ts is not an ISO 8601 time", 5)]}
    with pytest.raises(UserError, match=r"because ts is not an ISO 8601 time \(no setting reads other forms: convert"):
        check_reject_share(counts, 0.5)
    (tmp_path / "events.csv").write_text("item_id,event,ts\n" + "i,click,2026-11-20T10:00:00Z\n" * 3)
    (tmp_path / "landing.toml").touch()
    assert "most often because event_id is missing (if lines have no ID, write same = [" in check(tmp_path)[0]


def test_a_list_of_files_says_how_many_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "landing.toml").touch()
    for n in range(35):
        (tmp_path / f"x{n}.zip").touch()
    reasons = check(tmp_path)
    assert (len(reasons), reasons[10]) == (12, "and 25 more files")
    assert capsys.readouterr().out.splitlines()[-1] == "  and 25 more files"
