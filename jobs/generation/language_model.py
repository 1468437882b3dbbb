"""The presets of [generator] that are a language model: lc_rec and semantic_convergence."""

import sys
from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Any

import numpy as np

from jobs.generation.items import ItemInputs, load_item_inputs, read_columns
from jobs.generation.language_model_folder import ADVICE
from jobs.generation.language_model_lists import make_finder, save_finder
from jobs.generation.language_model_worker import (
    TRAINING,
    LanguageGenerator,
    list_training_arrays,
    read_task_data,
)
from jobs.generation.stored_language_model import (
    build_origin,
    load_generator,
    load_stored_language_model,
    save_with_origin,
)
from jobs.generation.training import NAME, TrainedGenerator
from jobs.lake import Lake, UserError
from jobs.ranking.items import ItemIndex
from jobs.release.releases import latest_generator
from jobs.runtime.checkpoint import LakeCheckpoint
from jobs.runtime.workers import count_workers
from jobs.settings.tree import Settings
from models.generator import Design
from models.generator.task_data import TaskData
from models.generator.tasks import PRESETS, draw_row
from models.llm.item_text import item_json
from models.ranker.histories import Histories, Int64s
from models.training import checkpoint

READS = Design(("codes",), ("codes",))  # what it reads of the items, besides texts
Texts = list[dict[str, Any]]


def fit_language_model(
    lake: Lake,
    settings: Settings,
    day: date,
    index: ItemIndex,
    histories: Histories,
    ends: Int64s,
    valid_users: int,
) -> TrainedGenerator | str:
    """Train the language model of the day.

    ends         [users] where training ends
    valid_users  how many users choose the best epoch, by their first event after the end
    returns      the generator, or a sentence that says what is missing
    raises       UserError if the folder of the language model cannot be read, or training diverges
    """
    items = load_item_inputs(lake, settings, index, READS, day)
    if isinstance(items, str):
        return items
    g, m = settings.generator, settings.generator.language_model
    texts = load_texts(lake, items)
    arrays = list_training_arrays(histories, ends, items.codes.numpy(), texts)
    if missing := _find_missing(read_task_data(arrays), g.preset):
        return missing
    generator = build_language_model(lake, settings, day, items, texts)
    plan = {
        "epochs": g.epochs, "steps": m.steps, "rows_per_batch": m.rows, "tokens_at_once": m.tokens_per_batch,
        "lr": m.lr, "valid_users": valid_users, "patience": g.patience, "seed": g.seed,
    }  # fmt: skip
    described = f"{g.preset} {plan} {g.workers}"
    unfinished = LakeCheckpoint.for_training(lake, "generate", day, generator, arrays, described)
    curve = TRAINING.run(
        count_workers(g.workers), generator, arrays, unfinished, NAME, preset=g.preset, plan=plan
    )  # fmt: skip
    return describe_language_model(settings, generator, items, curve)


def load_language_model(
    lake: Lake, settings: Settings, day: date, index: ItemIndex, uri: str
) -> TrainedGenerator | None:
    """A stored language model, for the items of the day as they are at its end.

    None if it cannot be read, or does not fit the items and the settings.
    """
    items = load_item_inputs(lake, settings, index, READS, day)
    if isinstance(items, str):
        return None
    lines = [item_json(text) for text in load_texts(lake, items)]
    generator = load_stored_language_model(lake, settings, uri, items, lines)
    return None if generator is None else describe_language_model(settings, generator, items, [])


def describe_language_model(
    settings: Settings, generator: LanguageGenerator, items: ItemInputs, curve: Sequence[checkpoint.Epoch]
) -> TrainedGenerator:
    """A trained language model, and what makes its lists."""
    beam, tokens = settings.generator.beam, settings.generator.language_model.tokens_per_batch
    return TrainedGenerator(
        generator,
        items,
        curve,
        make_finder=partial(make_finder, generator, items.codes, beam=beam, tokens_per_batch=tokens),
        save_finder=partial(save_finder, generator, items.codes, beam=beam, tokens_per_batch=tokens),
        save=partial(save_with_origin, build_origin(settings)),
    )


def load_texts(lake: Lake, items: ItemIndex) -> Texts:
    """Title, category and attributes of each item [items]; nothing for an item that silver.items does not have."""
    columns = ["title", "category", "attributes"]
    texts: Texts = [dict.fromkeys(columns) for _ in range(len(items.ids))]
    for place, row in read_columns(lake, items, columns):
        texts[place] = row
    return texts


def build_language_model(
    lake: Lake, settings: Settings, day: date, items: ItemInputs, texts: Texts
) -> LanguageGenerator:
    """The language model that training starts from: the latest that was live, or that of the settings.

    raises  UserError if there is no readable model
    """
    g, lines = settings.generator, [item_json(text) for text in texts]
    uri = latest_generator(lake, before=str(day)) if g.warm_start else None
    stored = load_stored_language_model(lake, settings, uri, items, lines) if uri else None
    start = g.language_model.model if stored is None else f"the weights of {uri}"
    print(f"the generator starts from {start}", file=sys.stderr, flush=True)
    if stored is not None:
        return stored
    try:
        return load_generator(g.language_model.model, items.codes, lines, g.language_model.lora_rank, g.seed)
    except ValueError as error:
        raise UserError(f"generator.language_model.model: {error}; {ADVICE}") from None


def _find_missing(data: TaskData, preset: str) -> str | None:
    """Why there are no rows for a task of the preset, None if there are."""
    try:
        for task in PRESETS[preset]:
            draw_row(data, task, np.random.default_rng(0))
    except ValueError as error:
        return str(error)
    return None
