"""Semantic IDs of the daily run by another kind of codebook than the default."""

from typing import get_args

import numpy as np
import pyarrow.dataset as ds
import pytest

from jobs import quantize
from jobs.codebooks.settings import Quantizer
from jobs.encoders.tuned_encoders import base_encoder
from jobs.lake import Lake
from jobs.settings.tree import Settings
from tests.jobs.lake_rows import DAY, put


@pytest.fixture
def embedded(lake: Lake, settings: Settings) -> Lake:
    """30 embedded items."""
    names = [f"i{n:02}" for n in range(30)]
    items = [
        {"item_id": name, "text": name, "content_hash": name, "file": "f", "line": line, "day": DAY}
        for line, name in enumerate(names, start=1)
    ]
    put(lake, "silver.items", items)
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    version = base_encoder(settings).version
    rows = [
        {"item_id": name, "encoder_version": version, "content_hash": name, "vector": vector.tolist(), "day": DAY}
        for name, vector in zip(names, vectors, strict=True)
    ]
    put(lake, "gold.item_embeddings", rows)
    return lake


def run_quantize(lake: Lake, settings: Settings, kind: str) -> str:
    """The codebook version that a run with this kind used."""
    quantizer = Quantizer.model_validate({"kind": kind, "sizes": (4, 3, 8), "fsq_steps": 10, "rq_vae_steps": 10})
    result = quantize.run(lake, settings.model_copy(update={"quantizer": quantizer}), DAY)
    return str(result.notes["codebook_version"])


def read_sids(lake: Lake, version: str) -> list[tuple[str, str]]:
    rows = lake.arrow("gold.semantic_ids", ["item_id", "sid"], ds.field("codebook_version") == version)
    return sorted(zip(*rows.to_pydict().values(), strict=True))


def test_every_kind_of_three_levels_gives_every_item_an_id_in_a_codebook_of_its_own(
    embedded: Lake, settings: Settings
) -> None:
    kinds = get_args(Quantizer.model_fields["kind"].annotation)
    versions = [run_quantize(embedded, settings, kind) for kind in kinds]
    assert len(set(versions)) == len(kinds)
    first = [read_sids(embedded, version) for version in versions]
    assert [len(ids) for ids in first] == [30] * len(kinds)
    assert [run_quantize(embedded, settings, kind) for kind in kinds] == versions
    assert [read_sids(embedded, version) for version in versions] == first


def test_a_version_names_its_kind_unless_it_is_the_default(embedded: Lake, settings: Settings) -> None:
    assert run_quantize(embedded, settings, "res_kmeans_fsq").endswith("-4x3x8")
    assert run_quantize(embedded, settings, "parallel_kmeans").endswith("-4x3x8-parallel_kmeans")
