"""A first `landing.toml`: what the files seem to be. Each guess is marked; no run uses it before a person agrees."""

import json
import re
from collections import Counter

from jobs.landing.dialect import FIELDS
from jobs.landing.files import ENDING, FORMATS, KINDS
from jobs.landing.preview import Head
from jobs.landing.synonyms import EXPORTS, ZONES, find_column, find_event

HEADER = """\
# How the log files of this folder are written, as `make check-landing` understands it. docs/own-logs.md lists all keys.
# Check every line marked GUESS. Then delete the next line: no run reads the files before.
unchecked = true
"""
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
    unknown = list(unusable)
    for head in heads:
        kind = guess_kind(head)
        by_kind[kind].append(head) if kind else unknown.append(head.name)
    preset = _guess_preset(heads)
    if preset:
        lines.append(f'preset = "{preset}"  # GUESS: the files look like this export\n')
    if unknown and not preset:  # a preset names its files
        patterns = json.dumps(sorted({_pattern(name) for name in unknown}))
        lines.append(f"ignore = {patterns}  # GUESS: neither events nor items\n")
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
    return "\n".join(lines)


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
        lines += _guess_columns(kind, heads)
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


def _guess_columns(kind: str, heads: list[Head]) -> list[str]:
    columns = list(dict.fromkeys(column for head in heads for column in head.columns))
    known = {column.strip().lower() for column in columns}
    taken: set[str] = set()
    lines, mapping = [], []
    for field in FIELDS[kind]:
        column = find_column(field, [c for c in columns if c not in taken]) if field not in known else None
        if column and column.strip().lower() not in FIELDS[kind]:
            taken.add(column)
            mapping.append(f"{field} = {json.dumps(column)}")
    has = {field for field in FIELDS[kind] if field in known or any(m.startswith(f"{field} =") for m in mapping)}
    names: list[str] = []
    if kind == "events":
        if "event" not in has:
            events = {_event_of_name(head.name) for head in heads}
            event = events.pop() or ("rating" if "value" in has else "click")
            if events:
                lines.append(
                    "# No column says what kind of event a line is, and the files hold several: add such a column."
                )
            else:
                lines.append(f"fixed = {{ event = {json.dumps(event)} }}  # GUESS: no column says it")
        if "event_id" not in has:
            same = [field for field in ("user_id", "item_id", "event", "ts") if field in has]
            lines.append(
                f"same = {json.dumps(same)}  # GUESS: the lines have no ID; lines that agree in these are one event"
            )
        event_columns = [find_column("event", head.columns) for head in heads]
        values = Counter(v for head, c in zip(heads, event_columns, strict=True) if c for v in head.values(c))
        names = [_name_line(name) for name, _ in values.most_common(30) if name.lower().strip() != find_event(name)]
    if mapping:
        lines.append(f"[{kind}.columns]  # field = the column in the files")
        lines += [f"{line}  # GUESS" for line in mapping]
    if names:
        lines += ["[events.names]  # name in the files = impression, click, purchase, cancel, rating or ignore", *names]
    return lines


def _event_of_name(name: str) -> str | None:
    words = re.split(r"[^a-z]+", name.rsplit("/", 1)[-1].lower())
    return next((event for word in words if (event := find_event(word.removesuffix("s")))), None)


def _name_line(name: str) -> str:
    event = find_event(name)
    if event:
        return f"{json.dumps(name)} = {json.dumps(event)}  # GUESS"
    return f'# {json.dumps(name)} = "ignore"  # not known: lines of it are rejected until you say what it is'


def _pattern(name: str) -> str:
    """A pattern for files named alike: days and other numbers may differ."""
    folder_and_name = DAY_IN_NAME.sub("{day}", name, count=1)
    return re.sub(r"\d+", "*", folder_and_name)
