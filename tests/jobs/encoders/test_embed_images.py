"""Images of items in the daily run: a vision-language model embeds them and learns from them, others ignore them."""

from datetime import timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from jobs import align, embed
from jobs.encoders.embed_on_spark import make_batch_embedder
from jobs.encoders.location import encoder_version
from jobs.encoders.settings import Align, Encoder
from jobs.encoders.tuned_encoders import base_encoder, live_encoder
from jobs.encoders.vectors import current_vectors
from jobs.lake import Lake, UserError
from jobs.settings.tree import Settings, load_settings
from tests.jobs.lake_rows import DAY, put
from tests.llm import tiny_tokenizer
from tests.vlm import picture, save_vlm

COLOURS = ("red", "lime", "blue", "white", "black", "yellow", "fuchsia", "aqua")
Vectors = NDArray[np.float32]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A vision-language model, and a folder with a picture of each two colours."""
    model = save_vlm(tmp_path / "vlm", tiny_tokenizer())
    for left, right in product(COLOURS, COLOURS):
        picture(tmp_path / "images" / f"{left}-{right}.png", left, right)
    encoder = Encoder(model=str(model), images=str(tmp_path / "images"))
    return load_settings().model_copy(update={"encoder": encoder})


def put_items(lake: Lake, images: dict[str, str | None]) -> None:
    rows = [
        {"item_id": item, "title": "w5", "text": "w5", "content_hash": f"{item} {image}", "image": image,
         "file": "items", "line": 1, "day": DAY} for item, image in images.items()
    ]  # fmt: skip
    put(lake, "silver.items", rows)


def embedded(lake: Lake, settings: Settings, images: dict[str, str | None]) -> dict[str, Vectors]:
    put_items(lake, images)
    embed.run(lake, settings, DAY)
    return dict(zip(*current_vectors(lake, base_encoder(settings).version), strict=True))


def changed(before: dict[str, Vectors], after: dict[str, Vectors]) -> list[str]:
    return [item for item in before if float(before[item] @ after[item]) < 0.999]


def test_a_picture_changes_the_vector_of_its_own_item_only(lake: Lake, settings: Settings) -> None:
    images: dict[str, str | None] = {"a": "red-red.png", "b": "blue-blue.png", "c": None}
    before = embedded(lake, settings, images)
    after = embedded(lake, settings, images | {"b": "lime-lime.png"})
    assert changed(before, after) == ["b"]
    assert changed(before, embedded(lake, without_images(settings), images)) == ["a", "b"]


def without_images(settings: Settings) -> Settings:
    return settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"images": ""})})


def test_a_path_outside_the_folder_is_refused_and_reported_once(
    lake: Lake, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "secret.png", "red")
    images: dict[str, str | None] = {"a": "../secret.png", "b": "missing.png", "c": "red-red.png"}
    vectors = embedded(lake, settings, images)
    lines = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(lines) == 1
    assert lines[0].startswith("2 images of items were left out")
    assert "leads outside" in lines[0] or "no such file" in lines[0]
    assert changed(vectors, embedded(lake, without_images(settings), images)) == ["c"]


def test_executors_look_at_images_too(lake: Lake, settings: Settings) -> None:
    images: dict[str, str | None] = {"a": "red-red.png", "b": None}
    vectors = embedded(lake, settings, images)
    columns = {"item_id": [*images], "content_hash": [*images], "text": ["w5", "w5"], "image": [*images.values()]}
    encoder = settings.encoder
    embed_batches = make_batch_embedder(encoder.model, encoder.max_tokens, encoder.tokens_per_batch, encoder.images)
    (batch,) = embed_batches([pa.RecordBatch.from_pydict(columns)])
    assert changed(vectors, dict(zip(images, np.array(batch["vector"].to_pylist()), strict=True))) == []


def test_a_vision_language_model_is_tuned_on_what_its_items_look_like(lake: Lake, settings: Settings) -> None:
    """Only the colour on the left tells which items belong together; a few items have no image."""
    items = {f"{left}-{right}": left for left, right in product(COLOURS, COLOURS)}
    put_items(lake, {item: None if n % 31 == 0 else f"{item}.png" for n, item in enumerate(items)})
    pairs = [
        {"item_a": a, "item_b": b, "source": "swing", "score": 1.0, "verdict": "yes", "day": DAY - timedelta(days=1)}
        for a in items for b in items if a < b and items[a] == items[b]
    ]  # fmt: skip
    put(lake, "silver.item_pairs", pairs)
    align_section = Align(every_days=1, min_pairs=10, steps=50, items_per_batch=64, lr=0.003)
    settings = settings.model_copy(update={"align": align_section})
    embed.run(lake, settings, DAY)
    notes = align.run(lake, settings, DAY).notes
    assert notes["hr_at_10"] > 0.7 > notes["hr_at_10_live"] + 0.3
    tuned = live_encoder(lake, settings, DAY)
    assert (Path(tuned.location) / "preprocessor_config.json").is_file()
    assert len(current_vectors(lake, tuned.version)[0]) == 64


def test_the_version_names_images_where_they_are_looked_at(settings: Settings, tmp_path: Path) -> None:
    version = encoder_version(settings.encoder)
    assert version == encoder_version(without_images(settings).encoder) + "-images"
    assert encoder_version(Encoder(images=str(tmp_path))) == encoder_version(Encoder())


def test_a_missing_folder_of_images_is_named(settings: Settings) -> None:
    with pytest.raises(UserError, match=r"encoder\.images: nowhere is not a folder"):
        encoder_version(Encoder(images="nowhere"))
