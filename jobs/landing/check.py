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
from zoneinfo import ZoneInfo

from jobs.lake import UserError
from jobs.landing.accounting import MAX_FUTURE_SHARE
from jobs.landing.describe import SHOWN, count_more, describe_kind, describe_listing, find_idle_patterns
from jobs.landing.fields import IGNORED
from jobs.landing.files import KINDS, LandingFile, Listing, scan_landing_folder
from jobs.landing.folder import LandingFolder, parse_folder
from jobs.landing.guess import guess_landing
from jobs.landing.hints import explain_reason
from jobs.landing.preview import LONG_AGO, Head, Preview, preview_file, read_head
from jobs.landing.settings import Landing
from jobs.landing.toml import FILE_NAME, load_landing
from jobs.runtime.entry import error_sentence
from jobs.runtime.printable import printable
from jobs.settings.tree import load_settings

FILES = 20  # looked at, of each kind
FUTURE = "ts is in the future"
UNKNOWN_EVENT = "event is of an unknown type"


def check_landing(folder: LandingFolder, landing: Landing, max_reject_share: float) -> list[str]:
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


def _report(folder: LandingFolder, landing: Landing, max_reject_share: float) -> tuple[list[str], list[str]]:
    """What ingest would understand, and why it would refuse the files."""
    listing = scan_landing_folder(folder, landing)
    lines = list(describe_listing(folder, listing, landing))
    refusals = [f"{name} looks like data but would not be read" for name in listing.unread[:SHOWN]]
    refusals += count_more(listing.unread)
    if not any(file.kind == "events" for file in listing.files):
        refusals.append("there is no file of events")
        refusals += [] if landing.preset else find_idle_patterns("events", listing, landing)
    for kind in KINDS:
        if previews := _preview(listing, kind, landing):
            lines += ["", *describe_kind(kind, landing, previews)]
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
        reason = explain_reason(next(r for r, _ in reasons.most_common() if r not in (None, IGNORED)))
        yield f"{rejected:,} of {lines:,} lines of {kind} would be rejected, most often because {reason}"
    if reasons[FUTURE] >= SHOWN and reasons[FUTURE] / lines > MAX_FUTURE_SHARE:
        yield f"{reasons[FUTURE]:,} of {lines:,} lines of {kind} lie after the day of their folder: set day_zone"
    if lines and reasons[UNKNOWN_EVENT] / lines > MAX_FUTURE_SHARE:
        names = Counter(row["event"] for row in rows if row["reason"] == UNKNOWN_EVENT).most_common(SHOWN)
        yield f"events of unknown types: {', '.join(f'{name} {count:,}' for name, count in names)}: set [events.names]"


def _propose(folder: LandingFolder, landing: Landing) -> str:
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
    if not any(head.columns for head in heads):
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
    parser.add_argument("--data", type=parse_folder, required=True, help="landing folder")
    settings = load_settings()
    try:
        refusals = check_landing(parser.parse_args().data, settings.landing, settings.logs.max_reject_share)
    except (UserError, OSError) as error:
        sys.exit(printable(f"check-landing failed: {error_sentence(error)}"))
    if refusals:
        sys.exit("\n".join(["", "Not ready for ingest:", *(printable(f"  {r}") for r in refusals)]))
    print("\nReady for ingest.")


if __name__ == "__main__":
    main()
