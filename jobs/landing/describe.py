"""What `check-landing` prints: the files of a landing folder, and what ingest would make of their first lines."""

from collections import Counter
from collections.abc import Iterator, Sized
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from jobs.landing.dialect import FIELDS
from jobs.landing.fields import IGNORED
from jobs.landing.files import KINDS, Listing, compile_pattern
from jobs.landing.folder import LandingFolder
from jobs.landing.hints import HINTS
from jobs.landing.parquet import find_columns
from jobs.landing.preview import Preview
from jobs.landing.settings import Landing
from jobs.landing.toml import FILE_NAME

SHOWN = 10
WIDTH = 200
MANY = 1_000  # paths that are compared with a pattern
# A field that no line must have, and why the lines are of little use without it.
EXPECTED = {
    "events": ("user_id", "almost nothing is learned from events without a user"),
    "items": ("title", "the texts of items say which of them are alike"),
}


def describe_listing(folder: LandingFolder, listing: Listing, landing: Landing) -> Iterator[str]:
    yield f"{folder}: {len(listing.files):,} log files"
    for kind in KINDS:
        files = [file for file in listing.files if file.kind == kind]
        formats = ", ".join(sorted({file.format for file in files}))
        days = sorted({file.day for file in files if file.day})
        where = (
            f"days {days[0]} to {days[-1]}" if days else "no day in folder or name: each line counts on its own date"
        )
        if files:
            size = sum(file.size for file in files) / 2**20
            yield f"  {kind:7} {len(files):,} ({formats}), {size:,.1f} MiB, {where}, such as {files[0].name}"
    ignored = [(file.name, reason) for file, reason in listing.ignored.items() if file.name != FILE_NAME]
    for name, reason in ignored[:SHOWN]:
        yield f"  ignored {name}: {reason}"
    yield from (f"  {text}" for text in count_more(ignored))
    for name in listing.unread[:SHOWN]:
        yield f"  NOT READ {name}"
    yield from (f"  {text}" for text in count_more(listing.unread))
    for kind in KINDS:
        yield from (f"  {text}" for text in find_idle_patterns(kind, listing, landing))


def find_idle_patterns(kind: str, listing: Listing, landing: Landing) -> list[str]:
    """Name the patterns that match no file, and the path that is most like each. A preset has patterns to spare."""
    names = [file.name for file in listing.files if file.kind == kind]
    if landing.preset and names:
        return []
    others = [*listing.unread, *(file.name for file in listing.files)][:MANY]
    idle = [
        pattern for pattern in getattr(landing, kind).files if not any(map(compile_pattern(pattern).fullmatch, names))
    ]  # fmt: skip
    return [
        f'[{kind}] files: the pattern "{pattern}" matches no file'
        + "".join(f"; the most similar path is {name}" for name in get_close_matches(pattern, others, 1, cutoff=0))
        for pattern in idle
    ]


def count_more(files: Sized) -> list[str]:
    """Say how many files a list leaves out that shows the first `SHOWN` of them. Empty if it shows all."""
    return [f"and {len(files) - SHOWN:,} more files"] if len(files) > SHOWN else []


def describe_kind(kind: str, landing: Landing, previews: list[Preview]) -> Iterator[str]:
    rows = [row for preview in previews for row in preview.rows]
    yield f"{kind}: the first {len(rows):,} lines of {len(previews):,} files"
    columns = list(dict.fromkeys(column for preview in previews for column in preview.columns))
    dialect = getattr(landing, kind)
    known = find_columns(columns, FIELDS[kind], dialect.columns)
    nested = {f: path for f, path in dialect.columns.items() if f not in known and path.split(".")[0] in columns}
    used = known | nested
    yield "  fields: " + ", ".join(f if used[f] == f else f"{f} (column {used[f]})" for f in FIELDS[kind] if f in used)
    not_used = [c for c in columns if c not in known.values() and c not in {p.split(".")[0] for p in nested.values()}]
    if not_used:
        yield f"  columns that are not used: {', '.join(not_used)}"
    for field, value in dialect.fixed.items():
        yield f"  {field} is always {value}"
    good = [row for row in rows if row["reason"] is None]
    if kind == "events" and good:
        yield f"  time: {min(r['ts'] for r in good):%Y-%m-%d %H:%M} to {max(r['ts'] for r in good):%Y-%m-%d %H:%M} UTC"
        counts = Counter(row["event"] for row in good)
        yield "  event types: " + ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
    field, consequence = EXPECTED[kind]
    if good and not any(row[field] for row in good):
        yield f"  WARNING no line has a {field}, but {consequence}: name its column under [{kind}.columns]"
    yield f"  good: {len(good):,}" + (", such as" if good else "")
    yield from (f"    {row['file']}:{row['line']} {_show(row, kind)}" for row in good[:SHOWN])
    ignored = sum(row["reason"] == IGNORED for row in rows)
    if ignored:
        yield f"  ignored: {ignored:,} lines of events that are not used"
    bad = [row for row in rows if row["reason"] not in (None, IGNORED)]
    if bad:
        yield f"  rejected: {len(bad):,}, such as"
        yield from (f"    {row['file']}:{row['line']} {row['reason']}: {row['raw'][:WIDTH]}" for row in bad[:SHOWN])
        reasons = dict.fromkeys(row["reason"] for row in bad)
        yield from (f"    {reason}: {HINTS[reason]}" for reason in reasons if reason in HINTS)
    for preview in [p for p in previews if p.refusal][:SHOWN]:
        yield f"  REFUSED {preview.file.name} {preview.refusal}"


def _show(row: dict[str, Any], kind: str) -> str:
    fields = {field: row[field] for field in FIELDS[kind] if row[field] is not None}
    texts = {f: f"{v:%Y-%m-%dT%H:%M:%SZ}" if isinstance(v, datetime) else str(v) for f, v in fields.items()}
    return " ".join(f"{field}={text[: WIDTH // 4]}" for field, text in texts.items())
