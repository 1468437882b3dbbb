"""Saves language models with what they were trained from, and loads them for another day's items, if they fit them."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from jobs.encoders.location import folder_version
from jobs.generation.items import ItemInputs
from jobs.generation.language_model_folder import ORIGIN
from jobs.generation.language_model_worker import LanguageGenerator, save
from jobs.generation.stored import keeps_codes
from jobs.lake import Lake, UserError
from jobs.release.model_store import is_stored, load_card, local_folder
from jobs.settings.tree import Settings
from models.generator.language_model_files import load_tunable
from models.precision import fast_bfloat16


def load_stored_language_model(
    lake: Lake, settings: Settings, uri: str, items: ItemInputs, lines: Sequence[str]
) -> LanguageGenerator | None:
    """A stored language model with the codes of today's items; None if it cannot be read or does not fit."""
    g, folder = settings.generator, _find_folder(lake, settings, uri, items)
    if folder is None:
        return None
    try:
        return load_generator(str(folder), items.codes, lines, g.language_model.lora_rank, g.seed)
    except ValueError as error:
        print(f"warning: the generator of an earlier day is not used: {error}", file=sys.stderr, flush=True)
        return None


def load_generator(source: str, codes: Tensor, texts: Sequence[str], lora_rank: int, seed: int) -> LanguageGenerator:
    """Load a language model and check that it can write lists. lora_rank: 0 trains all weights

    raises  ValueError if there is no readable model
    """
    bf16 = fast_bfloat16()
    model, tokenizer = load_tunable(source, codes, texts, rank=lora_rank or None, bf16=bf16, seed=seed)
    model.eval().read_prompts([[0]])
    return LanguageGenerator(model, tokenizer)


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
    is_same = origin == build_origin(settings) and card.like_from == settings.logs.like_from
    return folder if is_same and keeps_codes(settings, card, items) else None


def build_origin(settings: Settings) -> dict[str, Any]:
    """What a language model is trained from, and on which tasks."""
    m = settings.generator.language_model
    version = folder_version(Path(m.model))
    return {"preset": settings.generator.preset, "language_model": version, "lora_rank": m.lora_rank}


def save_with_origin(origin: dict[str, Any], generator: LanguageGenerator, folder: Path) -> None:
    """Write a language model into a folder that `load_stored_language_model` reads."""
    save(generator, folder)
    (folder / ORIGIN).write_text(json.dumps(origin, indent=1) + "\n")
