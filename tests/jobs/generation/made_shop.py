"""A made-up shop for the trained generator: users walk along rings of items, which have codes and text vectors."""

from datetime import date, timedelta
from typing import Any

import numpy as np

from jobs.codebooks.store import version_suffix
from jobs.encoders.tuned_encoders import base_encoder
from jobs.generation.settings import Generator
from jobs.lake import Lake
from jobs.settings.tree import Settings
from tests.jobs.generation.test_generate import Row, event, land
from tests.jobs.lake_rows import DAY, put

BEFORE, AFTER = DAY - timedelta(1), DAY + timedelta(1)
N = 24  # items
SMALL: dict[str, Any] = {"epochs": 4, "tokens": 256, "negatives": 16, "valid_users": 10, "k": 5, "beam": 8, "lr": 5e-3}


def trained(settings: Settings, preset: str = "sidereal", **values: Any) -> Settings:
    """The settings with a small training of that preset."""
    return settings.model_copy(update={"generator": Generator(**SMALL | {"preset": preset} | values)})


def name(item: int) -> str:
    return f"i{item:02}"


def put_items(lake: Lake, settings: Settings, items: range = range(N), day: date = BEFORE) -> None:
    """The catalogue with vectors and semantic IDs, all of that day. Two items share an ID and have twin numbers."""
    encoder = base_encoder(settings).version
    book = f"{day}-{encoder}{version_suffix(settings.quantizer)}"
    put(lake, "silver.items", [
        {"item_id": name(item), "title": f"item {item}", "text": name(item), "content_hash": name(item), "file": "f",
         "line": item, "day": day} for item in items
    ])  # fmt: skip
    put(lake, "gold.item_embeddings", [
        {"item_id": name(item), "encoder_version": encoder, "content_hash": name(item), "day": day,
         "vector": np.random.default_rng(item).normal(size=6).tolist()} for item in items
    ])  # fmt: skip
    put(lake, "gold.codebooks", [
        {"codebook_version": book, "encoder_version": encoder, "level": 1, "part": "centroid", "code": 0,
         "vector": [0.0] * 6, "day": day}
    ])  # fmt: skip
    put(lake, "gold.semantic_ids", [
        {"item_id": name(item), "codebook_version": book, "c1": item // 2 % 4, "c2": item // 2 % 3, "c3": 0, "sid": "s",
         "twin": item // N * 2 + item % 2, "unique_sid": f"s{item}", "day": day} for item in items
    ])  # fmt: skip


def walks(day: date, steps: range, users: range = range(30), items: int = N) -> list[Row]:
    """Each user's clicks of a day: one item after the other, from an item of the user's own."""
    return [event(f"u{user:02}", name((user * 5 + step) % items), step, day) for user in users for step in steps]


def land_walks(lake: Lake, last: date = DAY) -> None:
    """Two weeks of walks that end with the day `last`: six items the days before, and two on each of the last days."""
    events = walks(BEFORE - timedelta(1), range(6)) + walks(BEFORE, range(6, 8)) + walks(DAY, range(8, 10))
    events += walks(AFTER, range(10, 12))
    land(lake, [row for row in events if row["day"] <= last], last)
