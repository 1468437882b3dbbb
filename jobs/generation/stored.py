"""Loads a stored generator for another day's items, if it fits them."""

import json
import sys

from jobs.codebooks.store import version_suffix
from jobs.generation.items import ItemInputs
from jobs.generation.language_model_folder import ORIGIN
from jobs.lake import Lake, UserError
from jobs.lake.store import open_store
from jobs.release.model_store import ModelCard, is_stored, load_card, read_model
from jobs.settings.tree import Settings
from models.generator import Design, Generator, load, reindex_items


def load_stored_design(lake: Lake, uri: str) -> Design | None:
    """The design of a stored generator; None if it is missing, damaged or a language model."""
    store, root = open_store(lake.root)
    try:
        with store.open_input_stream(f"{root}/{uri}/model.json") as file:
            return Design.from_json(json.loads(file.read())["design"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def load_stored_generator(
    lake: Lake, settings: Settings, uri: str, design: Design, items: ItemInputs
) -> Generator | None:
    """A stored generator with today's items, codes and texts.

    None if it cannot be read, or if its design differs. Also None if its inputs have another meaning today: likes from
    another rating on, vectors of another encoder, codes of a codebook of another encoder or kind or of a refit that
    does not keep the numbers of codes.
    """
    if is_stored(lake, f"{uri}/{ORIGIN}"):  # a language model
        return None
    try:
        card = load_card(lake, uri)
        old, old_index = read_model(lake, uri, items, load)
    except UserError as error:
        print(f"warning: the generator of an earlier day is not used: {error}", file=sys.stderr, flush=True)
        return None
    if old.design != design or card.like_from != settings.logs.like_from:
        return None
    has_same_encoder = card.encoder_version == items.encoder_version
    if "text" in design.inputs and not (has_same_encoder and old.items.text.shape[1] == items.text.shape[1]):
        return None
    if design.reads_codes and not keeps_codes(settings, card, items):
        return None
    return reindex_items(old, old_index, items.codes, items.text, items.words)


def keeps_codes(settings: Settings, card: ModelCard, items: ItemInputs) -> bool:
    """Whether the codes of today's items mean what they meant to a stored model.

    They do not if they are of another encoder or kind, or of a refit that does not keep the numbers of codes.
    """
    has_same_encoder = card.encoder_version == items.encoder_version
    has_same_kind = has_same_encoder and card.codebook_version.endswith(version_suffix(settings.quantizer))
    # Refits of residual k-means start from the codebook before, so their codes keep their numbers.
    keeps_numbers = has_same_kind and settings.quantizer.kind.startswith("res_kmeans")
    return card.codebook_version == items.codebook_version or keeps_numbers
