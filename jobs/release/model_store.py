"""Stores models as folders of safetensors and JSON at `<LAKE>/models/<model_version>/<name>`."""

import atexit
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn

from jobs.lake import Lake, UserError
from jobs.lake.store import COMPLETE, is_remote, open_store, write_file
from jobs.ranking.items import ItemFeatures, ItemIndex, load_codes
from jobs.settings.tree import Settings
from models import ranker
from models.precision import device

M = TypeVar("M", bound=nn.Module)
ADVICE = "restore its folder, roll back, or let the next day's run start without it"


@dataclass(frozen=True)
class ModelCard:
    """How a model was trained: what is needed to load it for another day's items and to give it the same inputs."""

    model_version: str
    encoder_version: str
    codebook_version: str
    day: str
    train_days: int
    like_from: float
    gsu_dim: int
    max_history: int
    user_share: float = 1.0  # cards of older models have none

    @classmethod
    def from_settings(cls, settings: Settings, model: str, encoder: str, codebook: str, day: str) -> "ModelCard":
        logs, r = settings.logs, settings.ranker
        values = logs.train_days, logs.like_from, r.gsu_dim, r.max_history, logs.user_share
        return cls(model, encoder, codebook, day, *values)

    def apply_to(self, settings: Settings) -> Settings:
        """The given settings with those that decide a model's inputs as they were when it was trained."""
        of_logs = {name: getattr(self, name) for name in ("train_days", "like_from", "user_share")}
        logs = settings.logs.model_copy(update=of_logs)
        r = settings.ranker.model_copy(update={"gsu_dim": self.gsu_dim, "max_history": self.max_history})
        return settings.model_copy(update={"logs": logs, "ranker": r})


def hash_models(models: Mapping[str, nn.Module], items: pa.Array, inputs: Iterable[NDArray[Any]] = ()) -> str:
    """Eight hex digits of all weights and the items that they belong to: other weights get another version.

    inputs  what is stored with the models besides weights, such as the codes of the items
    """
    digest = hashlib.sha256("\n".join(items.to_pylist()).encode())
    for name, model in sorted(models.items()):
        digest.update(name.encode())
        for key, tensor in sorted(model.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)  # NumPy knows no bfloat16
    for values in inputs:
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:8]


def save_model(
    lake: Lake,
    name: str,
    model: nn.Module,
    card: ModelCard,
    items: pa.Array,
    save: Callable[[Any, Path], None] = ranker.save,
) -> str:
    """Write a model and its item list. returns its address relative to the lake

    The folder is complete before it gets its name, so a killed run leaves no half model. A folder that exists already
    has the same weights and may be live: it stays unchanged.

    save  writes the model's own files into a folder; by default those of a ranker
    """
    uri = f"models/{card.model_version}/{name}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save(model, folder)
        (folder / "card.json").write_text(json.dumps(asdict(card), indent=1) + "\n")
        (folder / "items.json").write_text(json.dumps(items.to_pylist()))
        store_folder(lake, folder, uri)
    return uri


def store_folder(lake: Lake, folder: Path, uri: str) -> None:
    """Copy a folder into the lake, unless the lake has a folder of that name: the name identifies the content."""
    store, root = open_store(lake.root)
    if is_stored(lake, uri):
        return
    target = f"{root}/{uri}"
    if is_remote(lake.root):  # a folder cannot be renamed there, so its last file says that it is complete
        _copy_folder(folder, store, target)
        write_file(store, f"{target}/{COMPLETE}", b"")
    else:
        store.create_dir(target.rpartition("/")[0], recursive=True)
        _copy_folder(folder, store, f"{target}.part")
        store.move(f"{target}.part", target)


def is_stored(lake: Lake, uri: str) -> bool:
    """Whether the lake has a file, or a whole folder, at this path."""
    store, root = open_store(lake.root)
    kind = store.get_file_info(f"{root}/{uri}").type
    if kind == pafs.FileType.Directory and is_remote(lake.root):
        kind = store.get_file_info(f"{root}/{uri}/{COMPLETE}").type
    return bool(kind != pafs.FileType.NotFound)


@cache
def local_folder(lake: Lake, uri: str) -> Path:
    """A folder of the lake on this machine: the folder itself, or a copy that exists as long as the process."""
    if not is_remote(lake.root):
        return Path(lake.root) / uri
    store, root = open_store(lake.root)
    copy = Path(tempfile.mkdtemp(prefix="sidereal-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    pafs.copy_files(f"{root}/{uri}", str(copy), source_filesystem=store, destination_filesystem=pafs.LocalFileSystem())
    return copy


def load_card(lake: Lake, uri: str) -> ModelCard:
    """Load the card of a stored model.

    raises  UserError if the model is missing, damaged or from another version of this code
    """
    store, root = open_store(lake.root)
    try:
        with store.open_input_stream(f"{root}/{uri}/card.json") as file:
            return ModelCard(**json.loads(file.read()))
    except FileNotFoundError:
        raise UserError(f"model {uri} is not in {lake.root}: {ADVICE}") from None
    except ValueError as error:
        raise _damaged(uri, error) from None
    except TypeError:  # the card has other fields
        raise _other_version(uri) from None


def load_model(lake: Lake, uri: str, items: ItemFeatures) -> ranker.Ranker:
    """Load a stored ranker for another day's items. An item that is new to it gets the unknown ID and its codes.

    raises  UserError if the model is missing, damaged or from another version of this code
    """
    card = load_card(lake, uri)
    model, old_index = read_model(lake, uri, items, ranker.load)
    codes = items.codes
    if card.codebook_version != items.codebook_version:
        codes = load_codes(lake, items.ids, card.codebook_version)
    has_codes = bool(model.codes.shape[1])
    return ranker.reindex_items(model, old_index, codes if has_codes else None).to(device()).eval()


def read_model(lake: Lake, uri: str, items: ItemIndex, load: Callable[[Path], M]) -> tuple[M, Tensor]:
    """Read a stored model as it was saved, with its own list of items.

    load     reads the model's own files in a folder; the model has `n_items`
    returns  the model, and the index in it of each of today's items [items] int64; -1: the item is new to it
    raises   UserError if the model is missing, damaged or from another version of this code
    """
    store, root = open_store(lake.root)
    with tempfile.TemporaryDirectory() as copy:
        try:
            pafs.copy_files(
                f"{root}/{uri}", copy, source_filesystem=store, destination_filesystem=pafs.LocalFileSystem()
            )
        except FileNotFoundError as error:  # others, such as a full disk, say nothing about the model
            raise _damaged(uri, error) from None
        try:
            model = load(Path(copy))
            model_items = pa.array(json.loads((Path(copy) / "items.json").read_text()), pa.string())
            if len(model_items) != model.n_items:
                raise ValueError(f"items.json names {len(model_items)} items, the weights are for {model.n_items}")
            if not all(bool(torch.isfinite(weights).all()) for weights in model.parameters()):
                raise ValueError("some of its weights are NaN or infinite")
        except (OSError, ValueError, SafetensorError, pa.ArrowTypeError) as error:
            raise _damaged(uri, error) from None
        except (AttributeError, KeyError, TypeError, RuntimeError):  # the file has other arguments or weights
            raise _other_version(uri) from None
    old_index = pc.fill_null(pc.index_in(items.ids, model_items), -1).to_numpy().copy()
    return model, torch.from_numpy(old_index).long()


def why_unreadable(lake: Lake, uri: str) -> str | None:
    """Why a stored model cannot be read, None if it can."""
    empty = torch.zeros(0, dtype=torch.int64)
    no_items = ItemFeatures(pa.array([], pa.string()), torch.zeros(0, 1), empty.view(0, 3), "", empty)
    try:
        load_model(lake, uri, no_items)
    except UserError as error:
        return str(error)
    return None


def _damaged(uri: str, error: Exception) -> UserError:
    return UserError(f"model {uri} is damaged ({str(error).splitlines()[0]}): {ADVICE}")


def _other_version(uri: str) -> UserError:
    return UserError(
        f"another version of this code trained model {uri}, or its card.json or model.json is damaged: {ADVICE}"
    )


def _copy_folder(folder: Path, store: pafs.FileSystem, target: str) -> None:
    if store.get_file_info(target).type != pafs.FileType.NotFound:
        store.delete_dir(target)
    store.create_dir(target, recursive=True)
    pafs.copy_files(str(folder), target, source_filesystem=pafs.LocalFileSystem(), destination_filesystem=store)
