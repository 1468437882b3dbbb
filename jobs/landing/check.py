"""Look at a landing folder before the first run: what ingest would understand, reject and refuse.

    make check-landing DATA=landing

Reads the first lines of up to 20 files of each kind. Needs no lake and no Spark. If something has to be said about the
files, it writes a first `landing.toml` into the folder, unless there is one. The exit code is 1 if ingest would refuse
the files, or if events are of unknown types.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jobs.lake import UserError
from jobs.landing.accounting import MAX_FUTURE_SHARE
from jobs.landing.files import FIELDS, KINDS, LandingFile, Listing, scan_landing_folder
from jobs.landing.guess import guess_landing
from jobs.landing.parquet import find_columns
from jobs.landing.parse import IGNORED
from jobs.landing.preview import LONG_AGO, Head, Preview, preview_file, read_head
from jobs.landing.settings import Landing
from jobs.landing.toml import FILE_NAME, load_landing
from jobs.runtime.printable import printable
from jobs.settings.tree import load_settings

FILES = 20  # looked at, of each kind
SHOWN = 10
WIDTH = 200
FUTURE = "ts is in the future"
UNKNOWN_EVENT = "event is of an unknown type"


def check_landing(folder: Path, landing: Landing, max_reject_share: float) -> list[str]:
    """Print what ingest would make of the folder. Writes `landing.toml` if there is something to say and it is missing.

    returns  what must be said or mended before ingest; empty if nothing
    raises   UserError if the folder or `landing.toml` cannot be read
    """
    landing = load_landing(folder, landing, with_guesses=True)
    lines, refusals = _report(folder, landing, max_reject_share)
    if refusals and not (folder / FILE_NAME).exists() and (text := _propose(folder, landing)):
        _say(f"{folder} cannot be read as it is:", *(f"  {refusal}" for refusal in refusals), "")
        (folder / FILE_NAME).write_text(text, encoding="utf-8")
        _say(f"Wrote {folder / FILE_NAME}, a first proposal:", "", *(f"  {line}" for line in text.splitlines()))
        _say("", "With this file, ingest would understand:", "")
        return check_landing(folder, landing, max_reject_share)
    _say(*lines)
    if landing.unchecked:
        refusals.append(f"{FILE_NAME} holds guesses: check the lines marked GUESS, then delete `unchecked = true`")
    return refusals


def _report(folder: Path, landing: Landing, max_reject_share: float) -> tuple[list[str], list[str]]:
    """What ingest would understand, and why it would refuse the files."""
    listing = scan_landing_folder(folder, landing)
    lines = list(_describe_listing(folder, listing))
    refusals = [f"{name} looks like data but would not be read" for name in listing.unread[:SHOWN]]
    if not any(file.kind == "events" for file in listing.files):
        refusals.append("there is no file of events")
    for kind in KINDS:
        if previews := _preview(listing, kind, landing):
            lines += ["", *_describe_kind(kind, landing, previews)]
            refusals += list(_find_refusals(kind, previews, max_reject_share))
    return lines, refusals


def _preview(listing: Listing, kind: str, landing: Landing) -> list[Preview]:
    files = [file for file in listing.files if file.kind == kind]
    first_day = min((file.day for file in files if file.day), default=LONG_AGO)
    return [preview_file(file, landing, first_day) for file in _choose(files)]


def _choose(files: list[LandingFile]) -> list[LandingFile]:
    """The first and last files, and others between them at equal distances."""
    if len(files) <= FILES:
        return files
    return [files[n * (len(files) - 1) // (FILES - 1)] for n in range(FILES)]


def _find_refusals(kind: str, previews: list[Preview], max_reject_share: float) -> Iterator[str]:
    for preview in previews:
        if preview.refusal:
            yield f"{preview.file.name} {preview.refusal}"
    rows = [row for preview in previews for row in preview.rows]
    reasons = Counter(row["reason"] for row in rows)
    lines = sum(reasons.values()) - reasons[IGNORED]
    rejected = lines - reasons[None]
    if reasons[IGNORED] and not lines:
        yield f"all lines of {kind} are ignored"
    elif lines and rejected / lines > max_reject_share:
        reason = next(r for r, _ in reasons.most_common() if r not in (None, IGNORED))
        yield f"{rejected:,} of {lines:,} lines of {kind} would be rejected, most often because {reason}"
    if reasons[FUTURE] >= SHOWN and reasons[FUTURE] / lines > MAX_FUTURE_SHARE:
        yield f"{reasons[FUTURE]:,} of {lines:,} lines of {kind} lie after the day of their folder: set day_zone"
    if lines and reasons[UNKNOWN_EVENT] / lines > MAX_FUTURE_SHARE:
        names = Counter(row["event"] for row in rows if row["reason"] == UNKNOWN_EVENT).most_common(SHOWN)
        yield f"events of unknown types: {', '.join(f'{name} {count:,}' for name, count in names)}: set [events.names]"


def _describe_listing(folder: Path, listing: Listing) -> Iterator[str]:
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
    ignored = [(name, reason) for name, reason in listing.ignored.items() if name != FILE_NAME]
    for name, reason in ignored[:SHOWN]:
        yield f"  ignored {name}: {reason}"
    for name in listing.unread[:SHOWN]:
        yield f"  NOT READ {name}"


def _describe_kind(kind: str, landing: Landing, previews: list[Preview]) -> Iterator[str]:
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
    yield f"  good: {len(good):,}" + (", such as" if good else "")
    yield from (f"    {row['file']}:{row['line']} {_show(row, kind)}" for row in good[:SHOWN])
    ignored = sum(row["reason"] == IGNORED for row in rows)
    if ignored:
        yield f"  ignored: {ignored:,} lines of events that are not used"
    bad = [row for row in rows if row["reason"] not in (None, IGNORED)]
    if bad:
        yield f"  rejected: {len(bad):,}, such as"
        yield from (f"    {row['file']}:{row['line']} {row['reason']}: {row['raw'][:WIDTH]}" for row in bad[:SHOWN])
    for preview in [p for p in previews if p.refusal][:SHOWN]:
        yield f"  REFUSED {preview.file.name} {preview.refusal}"


def _show(row: dict[str, Any], kind: str) -> str:
    fields = {field: row[field] for field in FIELDS[kind] if row[field] is not None}
    texts = {f: f"{v:%Y-%m-%dT%H:%M:%SZ}" if isinstance(v, datetime) else str(v) for f, v in fields.items()}
    return " ".join(f"{field}={text[: WIDTH // 4]}" for field, text in texts.items())


def _propose(folder: Path, landing: Landing) -> str:
    """The text of a `landing.toml` for the folder; empty if no file can be understood."""
    listing = scan_landing_folder(folder, landing)
    read = [file.name for kind in KINDS for file in _choose([f for f in listing.files if f.kind == kind])]
    heads: list[Head] = []
    unusable = []
    for name in [*read, *listing.unread[: 2 * FILES]]:
        if head := read_head(folder / name, name):
            heads.append(head)
        elif name in listing.unread:
            unusable.append(name)
    if not heads:
        return ""
    return guess_landing(heads, set(listing.unread), unusable, _hours_after_folder(listing, landing))


def _hours_after_folder(listing: Listing, landing: Landing) -> float:
    """The most hours that events lie after the day of their folder. 0 if few do, as wrong clocks are elsewhere, too."""
    previews = _preview(listing, "events", landing)
    rows = [(p.file.day, row) for p in previews for row in p.rows if row["ts"]]
    late: list[float] = []
    for day, row in rows:
        if day and row["reason"] == FUTURE:
            end = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(landing.day_zone))
            late.append((row["ts"] - end).total_seconds() / 3600)
    late = [hours for hours in late if hours <= 12]
    return max(late) if len(late) >= SHOWN and len(late) > MAX_FUTURE_SHARE * len(rows) else 0.0


def _say(*lines: str) -> None:
    for line in lines:
        print(printable(line))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.landing.check", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    settings = load_settings()
    try:
        refusals = check_landing(parser.parse_args().data, settings.landing, settings.logs.max_reject_share)
    except UserError as error:
        sys.exit(printable(f"check-landing failed: {error}"))
    if refusals:
        sys.exit("\n".join(["", "Not ready for ingest:", *(printable(f"  {r}") for r in refusals)]))
    print("\nReady for ingest.")


if __name__ == "__main__":
    main()
