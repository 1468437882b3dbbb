"""The items of a landing folder as the encoder reads them."""

import json
from gzip import open as open_gz
from pathlib import Path


def item_texts(folder: Path) -> dict[str, str]:
    """Item id to text, as `sql/transforms/latest_items.sql` joins it; the last line of an item counts."""
    texts = {}
    for file in sorted(folder.glob("items*.jsonl.gz")):
        with open_gz(file, "rt") as lines:
            for row in map(json.loads, lines):
                parts = [row.get("title"), " > ".join(row.get("category", [])), row.get("description")]
                parts.append(json.dumps(row["attributes"]) if row.get("attributes") else None)
                texts[row["item_id"]] = ". ".join(part for part in parts if part) or row["item_id"]
    return texts
