"""The lists of a generator that is a language model."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jobs.generation.language_model_worker import LanguageGenerator, load, save
from models.generator import seen_items
from models.generator.finders import CODES, LISTED, OPTIONS, FindItems, Scored
from models.generator.language_model_lists import generate, history_prompts
from models.generator.trie import CodeTrie
from models.precision import device
from models.ranker.histories import Histories, Int64s


def make_finder(
    generator: LanguageGenerator, codes: Tensor, is_listed: Tensor, *, beam: int, tokens_per_batch: int
) -> FindItems:
    """What finds the items that a language model writes: listed items with codes that a user has not seen.

    A user gets none if no item of the user's history has codes. Memory is that of the users of a call.

    codes             [items, levels] int64, another row for each item; -1 for an item without codes
    is_listed         [items] bool
    beam              how many prefixes of codes the search keeps
    tokens_per_batch  of prompts that are read together, with padding
    """
    model = generator.model
    tokens = generator.code_tokens(codes.numpy())
    trie = CodeTrie.build(codes.masked_fill(~is_listed[:, None], -1).to(model.device))

    def find_items(histories: Histories, users: Int64s, ends: Int64s, k: int) -> Scored:
        items, scores = np.full((len(users), k), -1), np.full((len(users), k), -np.inf, np.float32)
        offsets, seen = seen_items(histories, users, ends)
        counts = np.concatenate([[0], np.cumsum(tokens.has_codes[seen])])[offsets]
        rows = np.flatnonzero(np.diff(counts))
        if not len(rows):
            return items, scores
        users, ends = users[rows], ends[rows]
        prompts = history_prompts(tokens, histories, users, ends, limit=model.max_prompt_tokens)
        excluded = seen_items(histories, users, ends)
        best = generate(
            model, trie, prompts, beam=max(beam, k), tokens_per_batch=tokens_per_batch, excluded=excluded
        )  # fmt: skip
        items[rows], scores[rows] = best.items[:, :k].numpy(), best.scores[:, :k].numpy()
        return items, scores

    return find_items


def save_finder(
    generator: LanguageGenerator, codes: Tensor, is_listed: Tensor, folder: Path, *, beam: int, tokens_per_batch: int
) -> None:
    """Write what `load_finder` reads into an existing folder."""
    save(generator, folder)
    np.save(folder / CODES, codes.cpu().numpy())
    np.save(folder / LISTED, is_listed.cpu().numpy())
    (folder / OPTIONS).write_text(json.dumps({"beam": beam, "tokens_per_batch": tokens_per_batch}))


def load_finder(folder: Path) -> FindItems:
    """What `save_finder` wrote, as `make_finder` makes it."""
    generator = load(folder).to(device())
    generator.eval()
    codes, is_listed = (torch.from_numpy(np.load(folder / name)) for name in (CODES, LISTED))
    return make_finder(generator, codes, is_listed, **json.loads((folder / OPTIONS).read_text()))
