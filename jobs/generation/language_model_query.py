"""The items that a generator which is a language model finds for a text."""

from datetime import date

import numpy as np
import torch
from torch import Tensor

from jobs.generation.items import load_item_texts, load_unique_codes
from jobs.generation.language_model_worker import LanguageGenerator, load
from jobs.lake import Lake, UserError
from jobs.ranking.items import ItemIndex
from jobs.release.model_store import ADVICE, load_card, local_folder
from jobs.settings.tree import Settings
from models.generator.language_model_lists import generate, query_prompts
from models.generator.query_search import LIST, list_by_words
from models.generator.trie import CodeTrie
from models.generator.words import Words
from models.precision import device

NO_ITEMS = np.zeros(2, np.int64), np.zeros(0, np.int64)  # excluded for one query


def ask_language_model(
    lake: Lake, settings: Settings, uri: str, catalogue: ItemIndex, query: str, day: date
) -> dict[str, list[int]]:
    """Two lists for a query: what the language model writes, and items that share words with the query.

    uri      address of the generator
    returns  items of the catalogue by their index, best first
    raises   UserError if the generator is missing or damaged, or if semantic IDs are damaged
    """
    version = load_card(lake, uri).codebook_version
    try:
        generator = load(local_folder(lake, uri)).to(device())
    except ValueError as error:
        raise UserError(f"model {uri} is damaged ({error}): {ADVICE}") from None
    codes = load_unique_codes(lake, catalogue, version, day)
    item_words = Words.read(load_item_texts(lake, catalogue))
    is_listed = torch.ones(len(codes), dtype=torch.bool)
    return {
        "generator": _write_items(generator, codes, query, settings),
        "words": list_by_words(item_words, item_words.weigh(), Words.read([query]), is_listed),
    }


def _write_items(generator: LanguageGenerator, codes: Tensor, query: str, settings: Settings) -> list[int]:
    """The items that the model writes for the query, best first. codes: [items, levels], -1 for an item without them"""
    model = generator.model.eval()
    has_no_token = (codes >= torch.tensor(model.sizes)).any(dim=1)  # a code that came after the training
    codes = codes.masked_fill(has_no_token[:, None], -1)
    prompts = query_prompts(generator.code_tokens(codes.numpy()), [query], limit=model.max_prompt_tokens)
    best = generate(
        model,
        CodeTrie.build(codes.to(model.device)),
        prompts,
        beam=max(settings.generator.beam, LIST),
        tokens_per_batch=settings.generator.language_model.tokens_per_batch,
        excluded=NO_ITEMS,
    )
    return [item for item in best.items[0, :LIST].tolist() if item >= 0]
