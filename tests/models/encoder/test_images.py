"""Images of items: what a vision-language model gets of them, and which images are left out."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.encoder import embedder
from models.encoder.images import MOST_PIXELS, Images
from models.encoder.loading import load
from tests.llm import tiny_tokenizer
from tests.vlm import END, IMAGE, START, picture, save_vlm


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_vlm(tmp_path_factory.mktemp("vlm"), tiny_tokenizer())


def png(width: int, height: int) -> bytes:
    """A file with a head that announces an image of this size, and without its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_an_image_comes_before_the_text_and_only_the_text_is_cut(vlm: Path, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red", "blue")
    encoder = load(str(vlm), max_tokens=2, image_folder=str(tmp_path))
    items = encoder.items(["w1 w2 w3", "w4"], ["a.png", None])
    assert [len(item) for item in items] == [2 + 2 + 2, 1], "a batch's budget counts the image's tokens"
    batch = encoder.collate(items)
    assert batch.tokens.tolist() == [START, IMAGE, IMAGE, END, 1, 2, 0, 4, 0]
    assert batch.grid.tolist() == [[1, 2, 4]]


def test_an_image_is_no_larger_than_the_image_processor_allows(vlm: Path, tmp_path: Path) -> None:
    Image.new("RGB", (600, 400)).save(tmp_path / "a.png")
    images = Images(str(tmp_path), str(vlm))
    patches = images.patches("a.png")
    assert patches is not None
    tokens = int(patches.grid.prod()) // 4
    assert tokens <= 4
    assert images.tokens("a.png") == 2 + tokens


def test_a_picture_on_its_side_is_turned_upright(vlm: Path, tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: the camera was held sideways
    Image.new("RGB", (16, 8)).save(tmp_path / "a.jpg", exif=turned)
    images = Images(str(tmp_path), str(vlm))
    patches = images.patches("a.jpg")
    assert patches is not None
    assert patches.grid.tolist() == [[1, 4, 2]]
    assert images.tokens("a.jpg") == 2 + 2


def test_an_item_whose_image_lies_outside_or_is_damaged_is_embedded_by_its_text(vlm: Path, tmp_path: Path) -> None:
    folder, secret = tmp_path / "images", tmp_path / "secret.png"
    picture(secret, "red")
    folder.mkdir()
    (folder / "link.png").symlink_to(secret)
    (folder / "broken.png").write_text("no image")
    (folder / "program.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    (folder / "cut.png").write_bytes(png(8, 8))
    (folder / "strip.png").write_bytes(png(1, 4000))
    (folder / "large.png").write_bytes(png(1 << 13, MOST_PIXELS // (1 << 13) + 1))
    (folder / "bomb.png").write_bytes(png(1 << 16, 1 << 16))
    bad = ["../secret.png", str(secret), "/etc/passwd", "link.png", "missing.png", ".", "a\0b", "x" * 9999]
    bad += ["broken.png", "program.eps", "cut.png", "strip.png", "large.png", "bomb.png"]
    words = [f"w{n + 1} w5" for n in range(len(bad))]
    encoder = load(str(vlm), max_tokens=9, image_folder=str(folder))
    vectors = embedder.embed(encoder, words, bad, tokens_per_batch=64)
    np.testing.assert_allclose(vectors, embedder.embed(encoder, words, tokens_per_batch=64), atol=1e-5)
    assert encoder.left_out() == (
        f"{len(bad)} images of items were left out, such as '../secret.png' (it leads outside the folder)"
    )
    images = Images(str(folder), str(vlm))
    assert [name for name in bad if images.patches(name)] == []


def test_an_encoder_that_is_not_tuned_uses_the_end_of_text_as_emb(vlm: Path) -> None:
    encoder = load(str(vlm), max_tokens=9)
    again = load(str(vlm), max_tokens=9)
    vectors = [embedder.embed(loaded, ["w1 w2", "w3"], tokens_per_batch=64) for loaded in (encoder, again)]
    np.testing.assert_array_equal(vectors[0], vectors[1])
