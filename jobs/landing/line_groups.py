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
    """Group and hash the lines of files, of all days.

    names  of the files, inside the landing folder
    """
    groups: LineGroups = {}
    for kind in KINDS:
        groups |= _load_groups(lake, kind, names, _hash_lines(kind))
    return groups


def load_line_groups_again(lake: Lake, names: list[str], before: LineGroups) -> LineGroups:
    """The same for comparison with `before`, as this run sees them: with the lines that it has staged.

    Lines of files that `before` does not have are not hashed, which takes long. Days that neither `before` nor this run
    has lines of are not read: the table has a file for each day.
    """
    old_names = sorted({group.file for group in before})
    new_names = sorted({*names} - {*old_names})
    groups: LineGroups = {}
    for kind in KINDS:
        days = {group.day for group in before if group.kind == kind} | lake.staged_days(f"bronze.raw_{kind}")
        groups |= _load_groups(lake, kind, old_names, _hash_lines(kind), days)
        groups |= _load_groups(lake, kind, new_names, "''", days)
    return groups


def _hash_lines(kind: str) -> str:
    columns = ", ".join(name for name in contracts()[f"bronze.raw_{kind}"].names if name != "run_id")
    return f"CAST(sum(hash({columns})) AS VARCHAR)"


def _load_groups(lake: Lake, kind: str, names: list[str], content: str, days: set[date] | None = None) -> LineGroups:
    """days: only lines that are due on these"""
    if not names or days == set():
        return {}
    event_day = "CASE WHEN reason IS NULL THEN event_day END" if kind == "events" else "CAST(NULL AS DATE)"
    condition = "file IN :names" + (" AND day IN :days" if days else "")
    text = f"""SELECT file, day, {event_day} AS good_day, reason IS NOT NULL AS is_rejected, count(*) AS lines,
                      {content} AS content
               FROM bronze.raw_{kind} WHERE {condition} GROUP BY file, day, good_day, is_rejected"""
    arguments = {"names": names} | ({"days": sorted(days)} if days else {})
    return {
        LineGroup(row["file"], kind, row["day"], row["good_day"], row["is_rejected"]): (row["lines"], row["content"])
        for row in lake.query(text, **arguments).to_pylist()
    }
