"""`landing.toml`: a wrong key, field or pattern is named, together with what to write instead."""

from datetime import date
from pathlib import Path

import pytest

from jobs.lake import UserError
from jobs.landing.files import list_landing_files
from jobs.landing.settings import Landing
from jobs.landing.toml import load_landing


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[events]\nsame = ["user_id", "Seitenaufruf"]', r"same: Seitenaufruf is no field; fields are event_id,"),
        ('[events.columns]\nuserid = "Kunde"', r"columns: userid is no field; did you mean user_id\?; fields are"),
        ('[items.columns]\ntitel = "Name"', r"columns: titel is no field; did you mean title\?; fields are item"),
        ('[events.fixed]\nevnt = "click"', r"fixed: evnt is no field; did you mean event\?"),
        ("[landing]\nmay_be_empty = true", r"landing is no key: write its keys at the top.* without \[landing\]"),
        ("late_dayz = 3", r"late_dayz is no key at the top of the file; did you mean late_days\?; keys are preset, "),
        ("[items]\ndelimeter = ';'", r"delimeter is no key of \[items\]; did you mean delimiter\?; keys are files, "),
        ('[events]\nday_zone = "UTC"', r"day_zone is no key of \[events\]: write it at the top"),
        ('delimiter = ";"', r"delimiter is no key at the top of the file: write it below \[events\]"),
        ("late_days = 0", r"late_days: Input should be greater than or equal to 1"),
        ('ignore = ["{day}/{day}/*"]', r"ignore\.0: expected \{day\} at most once"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "landing.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_landing(tmp_path, Landing())


def test_patterns_of_files_that_are_not_read_may_name_the_day_and_the_hour(tmp_path: Path) -> None:
    for name in ("dt=2026-11-20/hour=06/views-1.csv", "dt=2026-11-20/events.jsonl", "old/dt=2026-11-20/x.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    landing = Landing(ignore=("dt={day}/hour={hour}/views-*.csv", "old/**"))
    listing = list_landing_files(tmp_path, landing)
    assert [(file.name, file.day) for file in listing.files] == [("dt=2026-11-20/events.jsonl", date(2026, 11, 20))]
    assert len(listing.ignored) == 2
