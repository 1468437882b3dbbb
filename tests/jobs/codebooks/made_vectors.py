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


def told(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update={"quantizer": Quantizer(**SMALL, **values)})


def vector(item: int, shift: float = 0.0) -> list[float]:
    centre = np.random.default_rng(item % CENTRES).normal(size=DIM)
    found = centre + np.random.default_rng(1000 + item).normal(size=DIM) * 0.3
    found[0] += shift
    values: list[float] = (found / np.linalg.norm(found)).tolist()
    return values


def put_vectors(lake: Lake, settings: Settings, items: range, day: date, shift: float = 0.0) -> None:
    """These items, and no others, are in the catalogue from this day on."""
    names = [f"i{item:04}" for item in items]
    put(lake, "silver.items", [
        {"item_id": name, "text": name, "content_hash": name, "file": "f", "line": n, "day": day}
        for n, name in enumerate(names)
    ])  # fmt: skip
    encoder = base_encoder(settings).version
    kept = {row["item_id"]: row for row in lake.arrow("gold.item_embeddings").to_pylist()}
    fresh = {
        name: {"item_id": name, "encoder_version": encoder, "content_hash": name, "day": day,
               "vector": vector(item, shift)}
        for item, name in zip(items, names, strict=True) if name not in kept
    }  # fmt: skip
    put(lake, "gold.item_embeddings", [*kept.values(), *fresh.values()])


def ids(lake: Lake) -> dict[tuple[str, str], str]:
    rows = lake.arrow("gold.semantic_ids").to_pylist()
    found = {(row["codebook_version"], row["item_id"]): row["unique_sid"] for row in rows}
    assert len(found) == len(rows)
    return found


def measured(lake: Lake, day: date, slice_: str) -> dict[str, float]:
    rows = lake.arrow("gold.metrics").to_pylist()
    return {r["metric"]: r["value"] for r in rows if (r["job"], r["day"], r["slice"]) == ("quantize", day, slice_)}
