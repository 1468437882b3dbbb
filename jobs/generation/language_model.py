"""The presets of [generator] that are a language model: lc_rec and semantic_convergence."""

import json
import sys
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from jobs.encoders.location import folder_version
from jobs.generation.items import ItemInputs, load_item_inputs, read_columns
from jobs.generation.language_model_folder import ADVICE, ORIGIN
from jobs.generation.language_model_lists import make_finder, save_finder
from jobs.generation.language_model_worker import (
    TRAINING,
    LanguageGenerator,
    list_training_arrays,
    read_task_data,
    save,
)
from jobs.generation.stored import keeps_codes
from jobs.generation.training import NAME, TrainedGenerator
from jobs.lake import Lake, UserError
from jobs.ranking.items import ItemIndex
from jobs.release.model_store import is_stored, load_card, local_folder
from jobs.release.releases import latest_generator
from jobs.runtime.checkpoint import LakeCheckpoint
from jobs.runtime.workers import count_workers
from jobs.settings.tree import Settings
from models.generator import Design
from models.generator.language_model_files import load_tunable
from models.generator.task_data import TaskData
from models.generator.tasks import PRESETS, draw_row
from models.llm.item_text import item_json
from models.precision import fast_bfloat16
from models.ranker.histories import Histories, Int64s

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
    checkpoint = LakeCheckpoint.for_training(lake, "generate", day, generator, arrays, described)
    curve = TRAINING.run(
        count_workers(g.workers), generator, arrays, checkpoint, NAME, preset=g.preset, plan=plan
    )  # fmt: skip
    return TrainedGenerator(
        generator,
        items,
        curve,
        make_finder=partial(make_finder, generator, items.codes, beam=g.beam, tokens_per_batch=m.tokens_per_batch),
        save_finder=partial(save_finder, generator, items.codes, beam=g.beam, tokens_per_batch=m.tokens_per_batch),
        save=partial(_save, _origin(settings)),
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
    folder = _find_folder(lake, settings, uri, items) if uri else None
    if folder is not None:
        try:
            generator = load_generator(str(folder), items.codes, lines, g.language_model.lora_rank, g.seed)
            print(f"the generator starts from the weights of {uri}", file=sys.stderr, flush=True)
            return generator
        except ValueError as error:
            print(f"warning: the generator of an earlier day is not used: {error}", file=sys.stderr, flush=True)
    print(f"the generator starts from {g.language_model.model}", file=sys.stderr, flush=True)
    try:
        return load_generator(g.language_model.model, items.codes, lines, g.language_model.lora_rank, g.seed)
    except ValueError as error:
        raise UserError(f"generator.language_model.model: {error}; {ADVICE}") from None


def load_generator(source: str, codes: Tensor, texts: Sequence[str], lora_rank: int, seed: int) -> LanguageGenerator:
    """Load a language model and check that it can write lists. lora_rank: 0 trains all weights

    raises  ValueError if there is no readable model
    """
    bf16 = fast_bfloat16()
    model, tokenizer = load_tunable(source, codes, texts, rank=lora_rank or None, bf16=bf16, seed=seed)
    model.eval().read_prompts([[0]])
    return LanguageGenerator(model, tokenizer)


def _find_missing(data: TaskData, preset: str) -> str | None:
    """Why there are no rows for a task of the preset, None if there are."""
    try:
        for task in PRESETS[preset]:
            draw_row(data, task, np.random.default_rng(0))
    except ValueError as error:
        return str(error)
    return None


def _find_folder(lake: Lake, settings: Settings, uri: str, items: ItemInputs) -> Path | None:
    """The files of a stored language model, if they fit the settings and today's items.

    None if they are of no language model, if another language model, preset or rank made it, or if its inputs have
    another meaning today: likes from another rating on, or codes that do not keep their numbers.
    """
    if not is_stored(lake, f"{uri}/{ORIGIN}"):
        return None
    try:
        card = load_card(lake, uri)
        origin = json.loads((folder := local_folder(lake, uri)).joinpath(ORIGIN).read_text())
    except (UserError, ValueError) as error:
        print(f"warning: the generator of an earlier day is not used: {error}", file=sys.stderr, flush=True)
        return None
    is_same = origin == _origin(settings) and card.like_from == settings.logs.like_from
    return folder if is_same and keeps_codes(settings, card, items) else None


def _origin(settings: Settings) -> dict[str, Any]:
    """What a language model is trained from, and on which tasks."""
    m = settings.generator.language_model
    version = folder_version(Path(m.model))
    return {"preset": settings.generator.preset, "language_model": version, "lora_rank": m.lora_rank}


def _save(origin: dict[str, Any], generator: LanguageGenerator, folder: Path) -> None:
    save(generator, folder)
    (folder / ORIGIN).write_text(json.dumps(origin, indent=1) + "\n")
