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
Landing = tuple[Path, list[dict[str, Any]]]
EVENTS = {"impression", "click", "purchase"}


def lines_of(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def parsed(lines: list[str]) -> list[dict[str, Any]]:
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def good(out: Path, day: date) -> list[dict[str, Any]]:
    """What an ingest would keep of the lines of a day that are about that day."""
    rows = parsed(lines_of(out / str(day) / "events.jsonl.gz"))
    fine = [row for row in rows if {"item_id", "event", "ts"} <= row.keys() and row["event"] in EVENTS]
    return list({row["event_id"]: row for row in fine if row["ts"].startswith(str(day))}.values())
