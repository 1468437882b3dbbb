"""The lines that bronze tables have of some files, in groups: enough to see which days a run changes."""

from datetime import date
from typing import NamedTuple

from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.landing.files import KINDS


class LineGroup(NamedTuple):
    """Lines of a file that share the day on which they are due and, if they are good events, the day of the event."""

    file: str
    kind: str  # events or items
    day: date
    event_day: date | None  # None for items and for rejected lines
    is_rejected: bool


# The number of lines of each group, and a hash of them that does not depend on their order.
LineGroups = dict[LineGroup, tuple[int, str]]


def load_line_groups(lake: Lake, names: list[str]) -> LineGroups:
    """Group and hash the lines of files, as this run sees them: with the lines that it has staged.

    names  of the files, inside the landing folder
    """
    groups: LineGroups = {}
    for kind in KINDS:
        columns = ", ".join(name for name in contracts()[f"bronze.raw_{kind}"].names if name != "run_id")
        groups |= _load_groups(lake, kind, names, f"CAST(sum(hash({columns})) AS VARCHAR)")
    return groups


def load_line_groups_again(lake: Lake, names: list[str], before: LineGroups) -> LineGroups:
    """The same for comparison with `before`. Lines of files that it does not have are not hashed, which takes long."""
    old_names = sorted({group.file for group in before})
    groups = load_line_groups(lake, old_names)
    for kind in KINDS:
        groups |= _load_groups(lake, kind, sorted({*names} - {*old_names}), "''")
    return groups


def _load_groups(lake: Lake, kind: str, names: list[str], content: str) -> LineGroups:
    if not names:
        return {}
    event_day = "CASE WHEN reason IS NULL THEN event_day END" if kind == "events" else "CAST(NULL AS DATE)"
    text = f"""SELECT file, day, {event_day} AS good_day, reason IS NOT NULL AS is_rejected, count(*) AS lines,
                      {content} AS content
               FROM bronze.raw_{kind} WHERE file IN :names GROUP BY file, day, good_day, is_rejected"""
    return {
        LineGroup(row["file"], kind, row["day"], row["good_day"], row["is_rejected"]): (row["lines"], row["content"])
        for row in lake.query(text, names=names).to_pylist()
    }
