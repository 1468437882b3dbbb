"""The account of a run: every line that was due is in a silver table, rejected, or a duplicate."""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow.dataset as ds

from jobs.lake import Lake, UserError
from jobs.lake.metrics import TABLE as METRICS
from jobs.lake.metrics import metric_rows
from jobs.landing.fields import IGNORED
from jobs.landing.files import KINDS
from jobs.landing.folder import LandingFolder
from jobs.landing.hints import explain_reason
from jobs.landing.settings import Landing
from jobs.landing.silver import has_few_lines
from jobs.landing.toml import FILE_NAME as LANDING_TOML

FATES = ("rows_in", "rows_out", "rows_rejected", "rows_duplicate", "rows_conflicting")

# More than wrong clocks explain. A folder of a day in Brazil has 12 % of its lines after midnight in UTC.
MAX_FUTURE_SHARE = 0.05


@dataclass(frozen=True)
class LineCount:
    """How many of the lines that were due on a day share the day of their event and a reason."""

    due: date
    day: date | None  # of the event; for items, the day on which the line was due; None if it cannot be read
    reason: str | None  # why the lines are rejected; None if they are good
    lines: int


def count_lines(lake: Lake, kind: str, days: list[date]) -> list[LineCount]:
    """Count the lines that were due on the days, by due day, day and reason."""
    column = "event_day" if kind == "events" else "day"
    text = f"""SELECT day AS due, {column} AS line_day, reason, count(*) AS lines FROM bronze.raw_{kind}
               WHERE day IN :days GROUP BY due, line_day, reason"""
    rows = lake.query(text, days=days).to_pylist()
    return [LineCount(row["due"], row["line_day"], row["reason"], row["lines"]) for row in rows]


def count_all(counts: list[LineCount]) -> int:
    """All lines, good or rejected."""
    return sum(count.lines for count in counts)


def count_rejected(counts: list[LineCount]) -> int:
    """The lines that have a reason to be rejected."""
    return sum(count.lines for count in counts if count.reason is not None)


def find_good_days(counts: list[LineCount]) -> set[date]:
    """The days of good lines."""
    return {count.day for count in counts if count.reason is None and count.day}


def count_reasons(counts: list[LineCount]) -> dict[str, int]:
    """Rejected lines by reason."""
    reasons: Counter[str] = Counter()
    for count in counts:
        if count.reason is not None:
            reasons[count.reason] += count.lines
    return dict(reasons)


def check_future_share(counts: list[LineCount], landing: Landing, folder: LandingFolder) -> None:
    """Stop if so many lines lie after the day of their folder that the folder's day is not a UTC day.

    raises  UserError that names the setting
    """
    lines, future = count_all(counts), count_reasons(counts).get("ts is in the future", 0)
    if future >= 10 and future / lines > MAX_FUTURE_SHARE:
        raise UserError(
            f"{future:,} of {lines:,} lines of events are in the future: they are of the UTC day after the day of their"
            f" folder in time zone {landing.day_zone}. If the folders are days of another time zone, name it in"
            f' {folder / LANDING_TOML}, such as day_zone = "America/New_York"'
        )


def check_reject_share(counts: dict[str, list[LineCount]], max_share: float) -> None:
    """Stop if so many lines are rejected that the files cannot be what they should be.

    raises  UserError naming the kind of lines and the most frequent reason
    """
    for kind, kind_counts in counts.items():
        reasons = count_reasons(kind_counts)
        ignored = reasons.pop(IGNORED, 0)
        lines, rejected = count_all(kind_counts) - ignored, sum(reasons.values())
        if kind == "events" and ignored and not lines:
            raise UserError(
                f"all {ignored:,} lines of events are ignored: {LANDING_TOML} does not fit them. Check its preset and"
                " its names of events, best with `make check-landing`"
            )
        if lines and rejected / lines > max_share:
            reason = explain_reason(max(reasons, key=lambda reason: reasons[reason]))
            raise UserError(
                f"{rejected:,} of {lines:,} lines of {kind} are rejected, most often because {reason};"
                f" bronze.rejects lists them with file and line. Fix the files, or allow more than {max_share:.0%} by"
                " the setting logs.max_reject_share"
            )


def count_fates(
    lake: Lake, counts: dict[str, list[LineCount]], due_days: list[date], dropped_items: int
) -> dict[str, dict[str, int]]:
    """Count for events and for items what became of the lines that were due: the numbers named in `FATES`.

    dropped_items  rows of silver.items of these days that this run will delete, because they have no line any more
    raises  RuntimeError unless rows in = rows out + rejected + duplicate + conflicting
    """
    events_out = _count_rows(lake, "silver.events", "landed_day", due_days)
    event_days = sorted(find_good_days(counts["events"]))
    items_out = _count_rows(lake, "silver.items", "day", due_days) - dropped_items
    # An older version of an item, or the same version again, counts as a duplicate.
    good_items = count_all(counts["items"]) - count_rejected(counts["items"])
    return {
        "events": _balance("events", counts["events"], events_out, *_count_repeated_events(lake, due_days, event_days)),
        "items": _balance("items", counts["items"], items_out, good_items - items_out, 0),
    }


def _count_repeated_events(lake: Lake, due_days: list[date], event_days: list[date]) -> tuple[int, int]:
    """Duplicate and conflicting lines, from bronze.raw_events alone, so that it is a check on silver.events."""
    if not event_days:
        return 0, 0
    days = {"due_days": due_days, "days": event_days}
    if has_few_lines(lake, event_days):
        answer = lake.query_transform("event_fates", {}, **days)
    else:
        answer = lake.transform("event_fates", **days).toArrow()
    row = answer.to_pylist()[0]
    return int(row["rows_duplicate"]), int(row["rows_conflicting"])


def _count_rows(lake: Lake, table: str, day_column: str, days: list[date]) -> int:
    return int(lake.query(f"SELECT count(*) AS n FROM {table} WHERE {day_column} IN :days", days=days)["n"][0].as_py())


def _balance(kind: str, counts: list[LineCount], rows_out: int, duplicates: int, conflicting: int) -> dict[str, int]:
    rows_in, rejected = count_all(counts), count_rejected(counts)
    fates = dict(zip(FATES, (rows_in, rows_out, rejected, duplicates, conflicting), strict=True))
    if rows_in != rows_out + rejected + duplicates + conflicting or duplicates < 0:
        raise RuntimeError(
            f"{kind} do not add up: {fates}; rows in must be rows out + rejected + duplicate + conflicting"
        )
    return fates


def list_metrics(
    counts: dict[str, list[LineCount]], fates: dict[str, dict[str, int]], event_days: list[date]
) -> list[dict[str, Any]]:
    """The account as rows of gold.metrics: fates, reasons, and the good lines of each event day."""
    rows = [row for kind in KINDS for row in metric_rows("rows", kind, fates[kind])]
    for kind in KINDS:
        reasons = {f"reject:{reason}": lines for reason, lines in count_reasons(counts[kind]).items()}
        rows += metric_rows("rows", kind, reasons)
    return rows + _list_event_days(counts, event_days)


def _list_event_days(counts: dict[str, list[LineCount]], event_days: list[date]) -> list[dict[str, Any]]:
    """The good lines of each event day as rows of gold.metrics, which `load_touched_days` reads."""
    good_lines = dict.fromkeys(event_days, 0)
    for count in counts["events"]:
        if count.reason is None and count.day in good_lines:
            good_lines[count.day] += count.lines
    return [row for day in event_days for row in metric_rows("event_days", str(day), {"lines": good_lines[day]})]


def load_touched_days(lake: Lake, day: date) -> set[date]:
    """Load the event days that the last ingest of `day` wrote. Late lines change the samples of these days."""
    event_days = (ds.field("day") == day) & (ds.field("job") == "ingest") & (ds.field("model") == "event_days")
    return {date.fromisoformat(text) for text in lake.arrow(METRICS, ["slice"], event_days)["slice"].to_pylist()}
