"""A first `landing.toml`: what the files seem to be. Each guess is marked; no run uses it before a person agrees."""

import json
import re

from jobs.landing.files import ENDING, FORMATS, KINDS
from jobs.landing.guess_columns import guess_columns
from jobs.landing.preview import Head
from jobs.landing.synonyms import EXPORTS, ZONES, find_column
from jobs.runtime.printable import printable

HEADER = """\
# How the log files of this folder are written, as `make check-landing` understands it. docs/own-logs.md lists all keys.
# Check every line marked GUESS. Then delete the next line: no run reads the files before.
unchecked = true
"""
COLUMNS = 30  # of a file that are shown
DAY_IN_NAME = re.compile(r"(?<!\d)(?:19|20)\d{2}(?:-\d{2}-\d{2}|\d{4})(?!\d)")
NAIVE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?")
DECIMAL_COMMA = re.compile(r"-?\d+,\d{1,2}")


def guess_landing(heads: list[Head], unread: set[str], unusable: list[str], hours_after: float) -> str:
    """Write the text of a `landing.toml`.

    heads        the starts of the log files
    unread       names of those that are not recognised by their names
    unusable     names of other files that look like data
    hours_after  how far events lie after the day of their folder in UTC; 0: they do not
    """
    lines = [HEADER]
    by_kind: dict[str, list[Head]] = {kind: [] for kind in KINDS}
    unknown: list[Head] = []
    for head in heads:
        kind = guess_kind(head)
        by_kind[kind].append(head) if kind else unknown.append(head)
    preset = _guess_preset(heads)
    if preset:
        lines.append(f'preset = "{preset}"  # GUESS: the files look like this export\n')
    else:  # a preset names its files
        lines += _guess_ignored(by_kind, unknown, unusable)
    if preset == "ga4" and not hours_after:
        lines.append(
            '# day_zone = "America/New_York"  # write the time zone of the GA4 property here, unless it is UTC\n'
        )
    if hours_after > 0:
        zone = ZONES.get(round(hours_after), "America/New_York")
        why = f"events lie up to {hours_after:.1f} hours after the UTC day of their folder"
        lines.append(f'day_zone = "{zone}"  # GUESS: {why}\n')
    events = by_kind["events"]
    if any(NAIVE_TIME.fullmatch(v) for h in events for v in h.values(find_column("ts", h.columns) or "")[:20]):
        lines.append('time_zone = "UTC"  # GUESS: the times name no time zone\n')
    for kind, kind_heads in by_kind.items():
        if kind_heads:
            lines += _guess_dialect(kind, kind_heads, unread, bool(preset))
    if not events and not preset:
        lines += _ask_for_columns([head for head in unknown if head.columns])
    return "\n".join(lines)


def _guess_ignored(by_kind: dict[str, list[Head]], unknown: list[Head], unusable: list[str]) -> list[str]:
    """The files that are neither events nor items. They may be events if no other file is, or if they are empty."""
    used = {_pattern(head.name) for kind_heads in by_kind.values() for head in kind_heads}
    lines, ignored = [], {_pattern(name) for name in unusable} - used
    for head in sorted(unknown, key=lambda head: not head.columns):  # empty files last
        pattern, name = _pattern(head.name), printable(head.name)
        if pattern in used:
            continue
        used.add(pattern)
        if not head.columns:
            lines.append(f"# {name} holds no line: write its pattern into `files` or `ignore`")
            continue
        columns = printable(", ".join(head.columns[:COLUMNS]))
        lines.append(f"# {name} has the columns: {columns}")
        if by_kind["events"]:
            ignored.add(pattern)
    if ignored:
        lines.append(f"ignore = {json.dumps(sorted(ignored))}  # GUESS: neither events nor items")
    return [*lines, ""] if lines else []


def _ask_for_columns(heads: list[Head]) -> list[str]:
    """A part to fill in, if no file has columns that are known to be those of events."""
    if not heads:
        return []
    encodings = {head.encoding for head in heads} - {"utf-8"}
    return [
        "# Which files are events, and which column is which field? Fill in the columns, and delete the # in front.",
        "# [events]",
        f"# files = {json.dumps(sorted({_pattern(head.name) for head in heads}))}",
        *(f'# encoding = "{encoding}"' for encoding in encodings),
        *(f"# {line}" for line in _guess_csv([head for head in heads if head.format == "csv"])),
        '# same = ["user_id", "item_id", "event", "ts"]  # or, if lines have an ID, event_id = "<column>" below',
        "# [events.columns]",
        *(f'# {field} = "<column>"' for field in ("user_id", "item_id", "event", "ts")),
        "# [events.names]  # name in the files = impression, click, purchase, cancel, rating or ignore",
        '# "<name>" = "click"',
        "",
    ]


def guess_kind(head: Head) -> str | None:
    """events, items, or None if the columns are those of neither."""
    name = head.name.rsplit("/", 1)[-1].lower()
    for kind in KINDS:
        if name.startswith(kind):
            return kind
    if not find_column("item_id", head.columns):
        return None
    is_event = find_column("ts", head.columns) and (
        find_column("user_id", head.columns) or find_column("event", head.columns)
    )
    if is_event:
        return "events"
    return "items" if any(find_column(field, head.columns) for field in ("title", "category", "price")) else None


def _guess_preset(heads: list[Head]) -> str | None:
    for head in heads:
        for preset, columns in EXPORTS.items():
            if columns <= set(head.columns):
                return preset
    names = {head.name.rsplit("/", 1)[-1] for head in heads}
    return "mind" if {"behaviors.tsv", "news.tsv"} & names else None


def _guess_dialect(kind: str, heads: list[Head], unread: set[str], has_preset: bool) -> list[str]:
    lines: list[str] = []
    if any(head.name in unread for head in heads):
        patterns = sorted({_pattern(head.name) for head in heads})
        lines.append(f"files = {json.dumps(patterns)}  # GUESS: by their columns")
        endings = [ENDING.search(head.name) for head in heads]
        if any(not ending or FORMATS[ending[1].lower()] != h.format for ending, h in zip(endings, heads, strict=True)):
            lines.append(f'format = "{heads[0].format}"  # GUESS')
    encodings = {head.encoding for head in heads} - {"utf-8"}
    if encodings:
        lines.append(f'encoding = "{min(encodings)}"  # GUESS: it is not UTF-8')
    texts = [head for head in heads if head.format == "csv"]
    if not has_preset:
        lines += _guess_csv(texts)
        lines += guess_columns(kind, heads)
    return [f"[{kind}]", *lines, ""] if lines else []


def _guess_csv(heads: list[Head]) -> list[str]:
    lines = []
    delimiters = {head.delimiter for head in heads} - {","}
    if delimiters:
        lines.append(f"delimiter = {json.dumps(min(delimiters))}  # GUESS: the header has the most of it")
    if any(head.has_backslashes for head in heads):
        lines.append('escape = "\\\\"  # GUESS: backslashes stand before quotes')
    prices = [v for head in heads for v in head.values(find_column("price", head.columns) or "")[:50]]
    if prices and any(map(DECIMAL_COMMA.fullmatch, prices)):
        lines.append('decimal = ","  # GUESS')
    return lines


def _pattern(name: str) -> str:
    """A pattern for files named alike: days and other numbers may differ."""
    folder_and_name = DAY_IN_NAME.sub("{day}", name, count=1)
    return re.sub(r"\d+", "*", folder_and_name)
