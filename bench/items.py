"""Items of a landing folder, with the same text that the encoder and the judge receive in a daily run."""

import json
from gzip import open as open_gz
from pathlib import Path
from typing import Any

FIELDS = ("item_id", "title", "description", "category", "attributes")


def read_items(folder: Path) -> dict[str, dict[str, Any]]:
    """Item ID to its fields, attributes as JSON text. If an item comes twice, its last line counts."""
    rows = {}
    for file in sorted([*folder.glob("items*.jsonl.gz"), *folder.glob("*/items*.jsonl.gz")]):  # at the top, or by day
        with open_gz(file, "rt") as lines:
            for line in map(json.loads, lines):
                row = {name: line.get(name) for name in FIELDS}
                row["attributes"] = json.dumps(row["attributes"]) if row["attributes"] else None
                rows[row["item_id"]] = row
    return rows


def build_item_text(row: dict[str, Any]) -> str:
    """The text of an item, joined as in `sql/transforms/latest_items.sql`."""
    parts = [row["title"], " > ".join(row["category"] or []), row["description"], row["attributes"]]
    return ". ".join(part for part in parts if part) or str(row["item_id"])
