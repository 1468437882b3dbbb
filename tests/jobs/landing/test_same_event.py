"""What makes two lines the same event, by hand, also over a late file and a rerun."""

import uuid
from datetime import date
from pathlib import Path

from jobs import ingest
from jobs.lake import JobResult, Lake
from jobs.settings.tree import Settings
from tests.jobs.landing.test_ingest import DAY1, DAY2, build_event, write_log


def land(lake: Lake, settings: Settings, day: date, folder: Path) -> JobResult:
    return ingest.run(Lake(lake.root, run_id=uuid.uuid4().hex), settings, day, data=folder)


def counts_of(result: JobResult) -> tuple[int, ...]:
    return result.rows_in, result.rows_out, result.rows_rejected, result.rows_duplicate, result.rows_conflicting


def values_of(lake: Lake) -> dict[str, float | None]:
    return {row["event_id"]: row["value"] for row in lake.arrow("silver.events").to_pylist()}


def test_lines_with_one_id_are_one_event_only_if_type_and_item_are_the_same_too(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    click = build_event(1, DAY1, value=1)
    lines = [
        click,
        click,  # the same again: a duplicate
        click | {"value": 2},  # the same event, with other content: conflicting
        click | {"event": "impression"},  # another event
        click | {"item_id": "j"},  # another event
        click | {"ts": f"{DAY1}T10:00:01Z"},  # conflicting
    ]
    write_log(tmp_path / str(DAY1), "events-b.jsonl.gz", lines)
    assert counts_of(land(lake, settings, DAY1, tmp_path)) == (6, 3, 0, 1, 2)
    assert values_of(lake) == {"e1": 1, "e1#click#i": 1, "e1#click#j": 1}  # the impression keeps the ID

    # A file of the day comes late. Its name comes later: the line that is kept stays.
    write_log(tmp_path / str(DAY1), "events-c.jsonl.gz", [click, click | {"value": 3}, click | {"event": "purchase"}])
    write_log(tmp_path / str(DAY2), "events.jsonl.gz", [build_event(2, DAY2), click | {"value": 4}])
    assert counts_of(land(lake, settings, DAY2, tmp_path)) == (6 + 3 + 2, 5, 0, 2, 4)
    assert values_of(lake) == {"e1": 1, "e1#click#i": 1, "e1#click#j": 1, "e1#purchase#i": 1, "e2": None}
    assert counts_of(land(lake, settings, DAY2, tmp_path)) == (2, 1, 0, 0, 1)
    assert counts_of(land(lake, settings, DAY1, tmp_path)) == (9, 4, 0, 2, 3)

    # Another late file has a name that comes earlier. The rule is the order by day, file and line, not by arrival.
    write_log(tmp_path / str(DAY1), "events-a.jsonl.gz", [click | {"value": 5}])
    assert counts_of(land(lake, settings, DAY2, tmp_path)) == (12, 5, 0, 2, 5)
    assert values_of(lake) == {"e1": 1, "e1#click#i": 5, "e1#click#j": 1, "e1#purchase#i": 1, "e2": None}
