"""Models as folders of safetensors and JSON below `<LAKE>/models/<model_version>`."""

import atexit
import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import torch
from safetensors import SafetensorError

from jobs.lake import Lake, UserError
from jobs.ranking.items import ItemFeatures, load_codes
from jobs.settings.tree import Settings
from models import ranker
from models.precision import device

ADVICE = "restore its folder, roll back, or let the next day's run start without it"


@dataclass(frozen=True)
class ModelCard:
    """What a model was trained with: enough to load it on another day's catalogue, and to tell it the same things."""

    model_version: str
    encoder_version: str
    codebook_version: str
    day: str
    train_days: int
    like_from: float
    gsu_dim: int
    max_history: int

    @classmethod
    def of(cls, settings: Settings, model: str, encoder: str, codebook: str, day: str) -> "ModelCard":
        logs, r = settings.logs, settings.ranker
        return cls(model, encoder, codebook, day, logs.train_days, logs.like_from, r.gsu_dim, r.max_history)

    def settings(self, today: Settings) -> Settings:
        """Those of today, but for what a model is told of rows: that is as it was trained."""
        logs = today.logs.model_copy(update={"train_days": self.train_days, "like_from": self.like_from})
        r = today.ranker.model_copy(update={"gsu_dim": self.gsu_dim, "max_history": self.max_history})
        return today.model_copy(update={"logs": logs, "ranker": r})


def digest(models: dict[str, ranker.Ranker], items: pa.Array) -> str:
    """Eight hex digits of all weights and the items that they belong to: other weights, another address."""
    found = hashlib.sha256("\n".join(items.to_pylist()).encode())
    for name, model in sorted(models.items()):
        found.update(name.encode())
        for key, tensor in sorted(model.state_dict().items()):
            found.update(key.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:8]


def save_model(lake: Lake, name: str, model: ranker.Ranker, card: ModelCard, items: pa.Array) -> str:
    """Write a model and its item list. returns its address relative to the lake.

    The folder is complete before it appears under its name, so a killed run leaves no half model. One that is
    there already has the same weights, and may be live: it is left alone.
    """
    uri = f"models/{card.model_version}/{name}"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        ranker.save(model, folder)
        (folder / "card.json").write_text(json.dumps(asdict(card), indent=1) + "\n")
        (folder / "items.json").write_text(json.dumps(items.to_pylist()))
        store_folder(lake, folder, uri)
    return uri


def store_folder(lake: Lake, folder: Path, uri: str) -> None:
    """Copy a folder into the lake, unless there is one of that name: what it holds is in its name."""
    store, root = pafs.FileSystem.from_uri(lake.uri)
    if not stored(lake, uri):
        store.create_dir(f"{root}/{uri}".rpartition("/")[0], recursive=True)
        _copy(folder, store, f"{root}/{uri}.part")
        store.move(f"{root}/{uri}.part", f"{root}/{uri}")


def stored(lake: Lake, uri: str) -> bool:
    store, root = pafs.FileSystem.from_uri(lake.uri)
    return bool(store.get_file_info(f"{root}/{uri}").type != pafs.FileType.NotFound)


@cache
def local_folder(lake: Lake, uri: str) -> Path:
    """A folder of the lake on this machine: itself, or a copy that lasts as long as the process."""
    if "://" not in lake.root:
        return Path(lake.root) / uri
    store, root = pafs.FileSystem.from_uri(lake.root)
    made = Path(tempfile.mkdtemp(prefix="sidereal-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    pafs.copy_files(f"{root}/{uri}", str(made), source_filesystem=store, destination_filesystem=pafs.LocalFileSystem())
    return made


def load_card(lake: Lake, uri: str) -> ModelCard:
    store, root = pafs.FileSystem.from_uri(lake.uri)
    try:
        with store.open_input_stream(f"{root}/{uri}/card.json") as file:
            return ModelCard(**json.loads(file.read()))
    except FileNotFoundError:
        raise UserError(f"model {uri} is not in {lake.root}: {ADVICE}") from None
    except ValueError as error:
        raise _damaged(uri, error) from None
    except TypeError:  # fields that a card has no more
        raise _other_version(uri) from None


def load_model(lake: Lake, uri: str, catalogue: ItemFeatures) -> ranker.Ranker:
    """A stored model on a catalogue of another day: items it does not know get the unknown ID, and their codes."""
    card = load_card(lake, uri)
    store, root = pafs.FileSystem.from_uri(lake.uri)
    with tempfile.TemporaryDirectory() as made:
        pafs.copy_files(f"{root}/{uri}", made, source_filesystem=store, destination_filesystem=pafs.LocalFileSystem())
        try:
            old = ranker.load(Path(made))
            items = pa.array(json.loads((Path(made) / "items.json").read_text()), pa.string())
            if len(items) != old.n_items:
                raise ValueError(f"items.json names {len(items)} items, the weights are of {old.n_items}")
            if not all(bool(torch.isfinite(weights).all()) for weights in old.parameters()):
                raise ValueError("some of its weights are no numbers")
        except (OSError, ValueError, SafetensorError, pa.ArrowTypeError) as error:
            raise _damaged(uri, error) from None
        except (AttributeError, KeyError, TypeError, RuntimeError):  # settings or weights that a ranker has no more
            raise _other_version(uri) from None
    index = torch.from_numpy(pc.fill_null(pc.index_in(catalogue.ids, items), -1).to_numpy().copy()).long()
    codes = catalogue.codes
    if card.codebook_version != catalogue.codebook_version:
        codes = load_codes(lake, catalogue.ids, card.codebook_version)
    return ranker.reindexed(old, index, codes if old.codes.shape[1] else None).to(device()).eval()


def unreadable(lake: Lake, uri: str) -> str | None:
    """Why a stored model cannot be read, None if it can."""
    none = torch.zeros(0, dtype=torch.int64)
    try:
        load_model(lake, uri, ItemFeatures(pa.array([], pa.string()), torch.zeros(0, 1), none.view(0, 3), "", none))
    except UserError as error:
        return str(error)
    return None


def _damaged(uri: str, error: Exception) -> UserError:
    what = str(error).splitlines()[0]
    return UserError(f"model {uri} is damaged ({what}): {ADVICE}")


def _other_version(uri: str) -> UserError:
    return UserError(
        f"another version of this code trained model {uri}, or its card.json or model.json is damaged: {ADVICE}"
    )


def _copy(folder: Path, store: pafs.FileSystem, target: str) -> None:
    if store.get_file_info(target).type != pafs.FileType.NotFound:
        store.delete_dir(target)
    store.create_dir(target, recursive=True)
    pafs.copy_files(str(folder), target, source_filesystem=pafs.LocalFileSystem(), destination_filesystem=store)
