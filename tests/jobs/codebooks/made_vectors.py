"""Made-up items with vectors, for the tests of quantize."""

from datetime import date
from typing import Any

import numpy as np

from jobs.codebooks.settings import Quantizer
from jobs.encoders.tuned_encoders import base_encoder
from jobs.lake import Lake
from jobs.settings.tree import Settings
from tests.jobs.lake_rows import put

SMALL: dict[str, Any] = {"sizes": (8, 4, 16), "fsq_steps": 30, "kmeans_iterations": 5}
DIM, CENTRES = 16, 24


def with_quantizer(settings: Settings, **values: Any) -> Settings:
    """The settings with a small, quickly fitted codebook; values: further settings of [quantizer]."""
    return settings.model_copy(update={"quantizer": Quantizer(**SMALL, **values)})


def make_vector(item: int, shift: float = 0.0) -> list[float]:
    """A unit vector near one of the centres; shift: added to its first number before."""
    centre = np.random.default_rng(item % CENTRES).normal(size=DIM)
    vector = centre + np.random.default_rng(1000 + item).normal(size=DIM) * 0.3
    vector[0] += shift
    numbers: list[float] = (vector / np.linalg.norm(vector)).tolist()
    return numbers


def put_vectors(lake: Lake, settings: Settings, items: range, day: date, shift: float = 0.0) -> None:
    """Make these items, and no others, the catalogue from this day on. Items that have a vector keep it."""
    names = [f"i{item:04}" for item in items]
    put(lake, "silver.items", [
        {"item_id": name, "text": name, "content_hash": name, "file": "f", "line": n, "day": day}
        for n, name in enumerate(names)
    ])  # fmt: skip
    encoder = base_encoder(settings).version
    old_rows = {row["item_id"]: row for row in lake.arrow("gold.item_embeddings").to_pylist()}
    new_rows = {
        name: {"item_id": name, "encoder_version": encoder, "content_hash": name, "day": day,
               "vector": make_vector(item, shift)}
        for item, name in zip(items, names, strict=True) if name not in old_rows
    }  # fmt: skip
    put(lake, "gold.item_embeddings", [*old_rows.values(), *new_rows.values()])


def read_ids(lake: Lake) -> dict[tuple[str, str], str]:
    """The unique ID of every codebook version and item."""
    rows = lake.arrow("gold.semantic_ids").to_pylist()
    ids = {(row["codebook_version"], row["item_id"]): row["unique_sid"] for row in rows}
    assert len(ids) == len(rows)
    return ids


def read_metrics(lake: Lake, day: date, slice_: str) -> dict[str, float]:
    rows = lake.arrow("gold.metrics").to_pylist()
    return {r["metric"]: r["value"] for r in rows if (r["job"], r["day"], r["slice"]) == ("quantize", day, slice_)}
