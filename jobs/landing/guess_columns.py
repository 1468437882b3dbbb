"""Which column is which field, and which name is which event, as lines of a first `landing.toml`."""

import json
import re
from collections import Counter

from jobs.landing.dialect import FIELDS
from jobs.landing.preview import Head
from jobs.landing.synonyms import find_column, find_event


def guess_columns(kind: str, heads: list[Head]) -> list[str]:
    """Write the columns of the fields, what makes lines the same event, and the names of events."""
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
