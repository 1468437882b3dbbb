"""Embedding: what is skipped, how often it saves, where it continues, what happens after the live encoder changed."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs import embed, quantize
from jobs.codebooks.ids import load_semantic_ids
from jobs.codebooks.settings import Quantizer
from jobs.encoders import embedding
from jobs.encoders.location import EncoderRef
from jobs.encoders.settings import Align, Encoder
from jobs.encoders.tuned_encoders import base_encoder, encoder_folder, tuned_encoder
from jobs.encoders.vectors import current_vectors
from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.release.model_store import store_folder
from jobs.settings.tree import Settings
from models.encoder import embedder
from tests.jobs.lake_rows import DAY, put, release_row

NEXT = DAY + timedelta(days=1)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    quantizer = Quantizer(sizes=(4, 4, 16), fsq_steps=10)
    sections = {"quantizer": quantizer, "encoder": Encoder(max_tokens=16), "align": Align(every_days=7)}
    return settings.model_copy(update=sections)


def put_items(lake: Lake, count: int) -> None:
    items = [
        {"item_id": f"i{n:02}", "text": f"thing {n}", "content_hash": f"thing {n}", "file": "f", "line": n, "day": DAY}
        for n in range(count)
    ]
    lake.replace("silver.items", pa.Table.from_pylist(items, contracts()["silver.items"].arrow))


def go_live(lake: Lake, settings: Settings, name: str) -> EncoderRef:
    """Let a tuned encoder go live: the base encoder in another folder."""
    base = base_encoder(settings)
    version = f"{base.version}-aligned-{name}"
    store_folder(lake, Path(base.location), encoder_folder(version))
    values = {"pairs": 1, "held_out": 1, "hr_at_10": 0.5, "hr_at_10_live": 0.4, "live": True, "day": DAY}
    put(lake, "gold.encoders", [{"encoder_version": version, "base_version": base.version, **values}])
    return tuned_encoder(lake, version)


@pytest.mark.parametrize("switch", ["tuned again", "other settings"])
def test_the_champion_keeps_vectors_and_ids_of_new_items_after_a_switch(
    lake: Lake, settings: Settings, switch: str
) -> None:
    put_items(lake, 40)
    champion = go_live(lake, settings, "one") if switch == "tuned again" else base_encoder(settings)
    embed.run(lake, settings, DAY)
    book = quantize.run(lake, settings, DAY).notes["codebook_version"]
    release = {"codebook_version": book, "encoder_version": champion.version}
    put(lake, "gold.releases", [release_row(1, DAY) | release])
    before = load_semantic_ids(lake, book)

    if switch == "tuned again":
        go_live(lake, settings, "two")
    else:
        settings = settings.model_copy(update={"encoder": Encoder(max_tokens=8)})
    put_items(lake, 41)
    embed.run(lake, settings, NEXT)
    result = quantize.run(lake, settings, NEXT)
    assert result.notes["codebook_version"] != book
    assert result.rows_in == result.rows_out == 41
    items, codes = load_semantic_ids(lake, book)
    assert items == current_vectors(lake, champion.version)[0] == [f"i{n:02}" for n in range(41)]
    assert (items[:40], codes[:40].tolist()) == (before[0], before[1].tolist())


def test_a_champion_whose_encoder_is_gone_stops_nothing(lake: Lake, settings: Settings) -> None:
    put_items(lake, 40)
    put(lake, "gold.releases", [release_row(1, DAY) | {"encoder_version": "elsewhere-t16"}])
    assert embed.run(lake, settings, NEXT).rows_out == 40


def test_a_day_without_new_texts_is_skipped_and_still_measured(lake: Lake, settings: Settings) -> None:
    put_items(lake, 3)
    assert "skipped" not in embed.run(lake, settings, DAY).notes
    written = embed.run(lake, settings, NEXT)
    assert written.notes["skipped"].startswith("every item text has its vector of minilm")
    measured = lake.arrow("gold.metrics", ["metric", "value", "day"]).to_pylist()
    assert {"metric": "items_embedded", "value": 0.0, "day": NEXT} in measured
    assert {"metric": "items_embedded", "value": 3.0, "day": DAY} in measured


def test_a_slow_encoder_saves_by_time_and_a_fast_one_all_at_once(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_items(lake, 64)
    monkeypatch.setattr(embedding, "FIRST_ITEMS", 4)
    before = lake.version(embedding.TABLE)
    embed.run(lake, settings, DAY)
    assert lake.version(embedding.TABLE) == before + 2
    put(lake, embedding.TABLE, [])
    fast_embed, sizes = embedder.embed, list[int]()

    def slow_embed(model: embedder.Embedder, texts: list[str], images: list[str | None], **options: Any) -> Any:
        time.sleep(0.01 * len(texts))
        sizes.append(len(texts))
        return fast_embed(model, texts, images, **options)

    monkeypatch.setattr(embedder, "embed", slow_embed)
    monkeypatch.setattr(embedding, "SAVE_EVERY", 0.1)
    assert embed.run(lake, settings, DAY).rows_out == 64
    assert sizes[0] == 4
    assert max(sizes) <= 10
    assert len(current_vectors(lake, base_encoder(settings).version)[0]) == 64


def test_items_are_embedded_in_the_order_of_their_ids_however_the_table_holds_them(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_items(lake, 12)
    table = lake.arrow("silver.items")
    lake.replace("silver.items", table.take(np.random.default_rng(0).permutation(12)))
    monkeypatch.setattr(embedding, "FIRST_ITEMS", 8)
    texts: list[str] = []
    fast_embed = embedder.embed

    def note_texts(model: embedder.Embedder, chunk: list[str], images: list[str | None], **options: Any) -> Any:
        texts.extend(chunk)
        return fast_embed(model, chunk, images, **options)

    monkeypatch.setattr(embedder, "embed", note_texts)
    embed.run(lake, settings, DAY)
    assert texts == [f"thing {n}" for n in range(12)]


class StopError(Exception):
    pass


def test_embedding_goes_on_after_the_last_chunk_that_was_written(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_items(lake, 64)
    monkeypatch.setattr(embedding, "ITEMS_AT_ONCE", 1)
    append, commits_left = Lake.append, [1]

    def append_once(self: Lake, *args: Any) -> None:
        if not commits_left:
            raise StopError
        commits_left.pop()
        append(self, *args)

    monkeypatch.setattr(Lake, "append", append_once)
    with pytest.raises(StopError):
        embed.run(lake, settings, DAY)
    written = lake.arrow("gold.item_embeddings").num_rows
    monkeypatch.setattr(Lake, "append", append)
    assert embed.run(lake, settings, DAY).rows_out == 64 - written
    assert lake.arrow("gold.item_embeddings").num_rows == 64


@pytest.mark.classic
def test_sparks_executors_compute_the_same_vectors_as_this_process(lake: Lake, settings: Settings) -> None:
    put_items(lake, 64)
    embed.run(lake, settings, DAY)
    version = base_encoder(settings).version
    items, vectors = current_vectors(lake, version)
    put(lake, "gold.item_embeddings", [])
    on_spark = settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"spark_parts": 1})})
    assert embed.run(lake, on_spark, DAY).rows_out == 64
    spark_items, spark_vectors = current_vectors(lake, version)
    assert spark_items == items
    assert np.einsum("id,id->i", vectors, spark_vectors).min() > 0.999
