"""A small simulated landing folder, and how tests read its lines."""

import gzip
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

DAYS = [date(2026, 11, 18) + timedelta(days=n) for n in range(3)]
SIZES: dict[str, Any] = {
    "items": 500,
    "users": 200,
    "events_per_day": 4_000,
    "new_items_per_day": 10,
    "seed": 3,
}
Landing = tuple[Path, list[dict[str, Any]]]  # the folder, and what write_landing returned
KNOWN_EVENTS = {"impression", "click", "purchase"}


def read_lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def parse_lines(lines: list[str]) -> list[dict[str, Any]]:
    """The lines that are JSON."""
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def read_good_events(out: Path, day: date) -> list[dict[str, Any]]:
    """The events that ingest would keep of the lines that landed on a day and are about that day."""
    rows = parse_lines(read_lines(out / str(day) / "events.jsonl.gz"))
    good_rows = [row for row in rows if {"item_id", "event", "ts"} <= row.keys() and row["event"] in KNOWN_EVENTS]
    return list({row["event_id"]: row for row in good_rows if row["ts"].startswith(str(day))}.values())
