"""Trains the generator of a day: where it starts, training, training curve."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from jobs.generation.items import ItemInputs, load_item_inputs
from jobs.generation.settings import Generator as GeneratorSettings
from jobs.generation.stored import load_stored_design, load_stored_generator
from jobs.generation.train_worker import TRAINING, list_arrays
from jobs.lake import Lake
from jobs.lake.metrics import metric_rows
from jobs.ranking.items import ItemIndex
from jobs.release.model_store import ModelCard
from jobs.release.releases import latest_generator
from jobs.runtime.checkpoint import LakeCheckpoint
from jobs.runtime.workers import count_workers
from jobs.settings.tree import Settings
from models.generator import PRESETS, Design, Epoch, Generator, save
from models.generator.finders import FindItems, make_finder, save_finder
from models.generator.saved import NOT_TRAINED
from models.precision import device
from models.ranker.histories import Histories, Int64s
from models.training import checkpoint

NAME = "generator"
OPTIONS = {"seed", "epochs", "tokens", "negatives", "lr", "patience"}  # settings that `fit` receives


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator that was trained on the day or before it, and today's items.

    items        what it knows of the items
    curve        of the day's training
    make_finder  takes which items [items] bool can be listed, and returns what makes its lists
    save_finder  takes the same and a folder, and writes there what `list_worker.load_finder` reads
    save         writes its files into a folder
    """

    model: nn.Module
    items: ItemInputs
    curve: Sequence[checkpoint.Epoch]
    make_finder: Callable[[Tensor], FindItems]
    save_finder: Callable[[Tensor, Path], None]
    save: Callable[[Any, Path], None]


def fit_design(
    lake: Lake,
    settings: Settings,
    day: date,
    index: ItemIndex,
    histories: Histories,
    ends: Int64s,
    valid_users: int,
) -> TrainedGenerator | str:
    """Train the generator of the day, by the design of the preset.

    ends         [users] where training ends
    valid_users  how many users choose the best epoch, by their first event after the end
    returns      the generator, or a sentence that says what is missing
    raises       UserError if training diverges, or semantic IDs are damaged
    """
    design = build_design(settings.generator)
    items = load_item_inputs(lake, settings, index, design, day)
    if isinstance(items, str):
        return items
    model = build_generator(lake, settings, day, design, items)
    curve = train_generator(lake, settings, day, model, histories, ends, valid_users)
    return describe_design(settings, model, items, curve)


def build_design(settings: GeneratorSettings) -> Design:
    """The preset, changed by the settings that are set."""
    options = {name: getattr(settings, name) for name in ("inputs", "heads", "backbone")}
    return replace(PRESETS[settings.preset], **{name: value for name, value in options.items() if value})


def load_design(lake: Lake, settings: Settings, day: date, index: ItemIndex, uri: str) -> TrainedGenerator | None:
    """A stored generator of any design, for the items of the day as they are at its end.

    None if it cannot be read, or does not fit the items.
    """
    design = load_stored_design(lake, uri) or build_design(settings.generator)
    items = load_item_inputs(lake, settings, index, design, day)
    model = None if isinstance(items, str) else load_stored_generator(lake, settings, uri, design, items)
    if model is None or isinstance(items, str):
        return None
    return describe_design(settings, model.to(device()), items, [])


def describe_design(
    settings: Settings, model: Generator, items: ItemInputs, curve: Sequence[checkpoint.Epoch]
) -> TrainedGenerator:
    """A trained design, and what makes its lists."""
    beam = settings.generator.beam
    return TrainedGenerator(
        model,
        items,
        curve,
        make_finder=partial(make_finder, model, beam=beam),
        save_finder=partial(save_finder, model, beam=beam),
        save=save,
    )


def build_generator(lake: Lake, settings: Settings, day: date, design: Design, items: ItemInputs) -> Generator:
    """The generator that training starts from: the latest that was live, or one with random weights."""
    uri = latest_generator(lake, before=str(day)) if settings.generator.warm_start else None
    model = load_stored_generator(lake, settings, uri, design, items) if uri else None
    start = "random weights" if model is None else f"the weights of {uri}"
    print(f"the generator starts from {start}", file=sys.stderr, flush=True)
    if model is None:
        sizes, text_dim, seed = items.code_sizes, items.text.shape[1], settings.generator.seed
        model = Generator(design=design, n_items=len(items.ids), code_sizes=sizes, text_dim=text_dim, seed=seed)
        model.items.set_codes(items.codes)
        model.items.set_text(items.text)
        model.items.set_words(items.words)
    return model.to(device())


def train_generator(
    lake: Lake, settings: Settings, day: date, model: Generator, histories: Histories, ends: Int64s, valid_users: int
) -> list[Epoch]:
    """Train in place, in this process or in worker processes. returns the training curve

    ends         [users] where training ends
    valid_users  how many users choose the best epoch, by their first event after the end
    """
    g, arrays = settings.generator, list_arrays(histories, ends)
    options = g.model_dump(include=OPTIONS) | {"valid_users": valid_users}
    described = f"{options} {g.workers} {model.settings} {model.design}"
    inputs = arrays | {name: model.get_buffer(name).cpu().numpy() for name in NOT_TRAINED}
    unfinished = LakeCheckpoint.for_training(lake, "generate", day, model, inputs, described)
    return TRAINING.run(count_workers(g.workers), model, arrays, unfinished, NAME, **options)


def list_inputs(items: ItemInputs) -> list[NDArray[Any]]:
    """What decides the lists of a generator besides its weights: codes, text vectors and words of the items."""
    return [tensor.numpy() for tensor in (items.codes, items.text, items.words.offsets, items.words.numbers)]


def build_card(settings: Settings, items: ItemInputs, version: str, day: date) -> ModelCard:
    """The card of a generator."""
    return ModelCard.from_settings(settings, version, items.encoder_version, items.codebook_version, str(day))


def curve_metrics(curve: Sequence[checkpoint.Epoch], version: str) -> list[dict[str, Any]]:
    """Rows for gold.metrics: the training curve."""
    rows: list[dict[str, Any]] = []
    for point in curve:
        values = {metric: value for metric, value in asdict(point).items() if metric != "epoch"}
        rows += metric_rows(NAME, f"epoch_{point.epoch}", values, version=version)
    return rows
