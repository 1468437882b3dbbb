"""The trained presets of bench/generate.py: the designs of `models.generator`."""

from functools import partial

import numpy as np
import torch
from generate_log import Catalogue, Floats, KnownLog, Learn, Scores

from jobs.runtime.progress import progress
from models import quantizers
from models.generator.beam import Beams
from models.generator.design import PRESETS, Design
from models.generator.model import Generator
from models.generator.recommend import build_trie, find_best_codes, seen_items
from models.generator.training import fit
from models.generator.words import Words
from models.precision import device
from models.quantizers.twins import number_twins
from models.ranker.histories import Histories, Int64s

SIZES = (256, 256, 256)
LIST, BEAM = 50, 64  # items of a list, and the width of the search for it
EPOCHS, PATIENCE, TOKENS, NEGATIVES, LR, VALID_USERS = 100, 5, 2048, 2048, 1e-3, 2000


def learn_design(design: Design, log: KnownLog, seed: int) -> Scores:
    """Train until the validation users' next items are predicted no better. The design's first head scores."""
    codes = build_codes(log.catalogue, seed) if design.reads_codes else torch.zeros(log.n_items, 0, dtype=torch.int64)
    text = torch.from_numpy(log.catalogue.vectors) if "text" in design.inputs else torch.zeros(log.n_items, 0)
    sizes = tuple((codes.amax(dim=0) + 1).tolist()) if design.reads_codes else ()
    model = Generator(design=design, n_items=log.n_items, code_sizes=sizes, text_dim=text.shape[1], seed=seed)
    model.items.set_codes(codes)
    model.items.set_text(text)
    if "words" in design.inputs:
        model.items.set_words(Words.read(log.catalogue.texts))
    fit(
        model.to(device()), log.histories, log.train_ends, seed=seed, epochs=EPOCHS, tokens=TOKENS,
        negatives=NEGATIVES, lr=LR, valid_users=VALID_USERS, patience=PATIENCE, progress=progress("training", every=30),
    )  # fmt: skip
    return score_by_beam(model) if design.heads[0] == "codes" else score_all_items(model)


def build_codes(catalogue: Catalogue, seed: int) -> torch.Tensor:
    """Semantic IDs of the items' texts and a twin number [items, levels + 1]; -1 for an item without a text."""
    has_text = np.any(catalogue.vectors, axis=1)
    vectors = torch.from_numpy(catalogue.vectors[has_text])
    codes = quantizers.fit("res_kmeans_fsq", vectors, sizes=SIZES, seed=seed).encode(vectors).numpy()
    twins = number_twins(codes, np.zeros((0, len(SIZES)), np.int64), np.zeros(0, np.int64))
    all_codes = np.full((len(catalogue.texts), len(SIZES) + 1), -1)
    all_codes[has_text] = np.column_stack([codes, twins])
    return torch.from_numpy(all_codes)


def score_all_items(model: Generator) -> Scores:
    def scores(histories: Histories, users: Int64s, ends: Int64s) -> Floats:
        return model.score_items(model.encode(histories, users, ends)).cpu().numpy()

    return scores


def score_by_beam(model: Generator) -> Scores:
    trie = build_trie(model)

    def scores(histories: Histories, users: Int64s, ends: Int64s) -> Floats:
        states, seen = model.encode(histories, users, ends), seen_items(histories, users, ends)
        return spread(find_best_codes(model, states, trie, k=LIST, beam=BEAM, excluded=seen), model.n_items)

    return scores


def spread(lists: Beams, n_items: int) -> Floats:
    """Lists of items as scores [rows, items] of all items: -inf for items that are not in a row's list."""
    items, scores = lists.items.cpu().numpy(), lists.scores.cpu().numpy()
    all_scores = np.full((len(items), n_items), -np.inf, np.float32)
    rows, places = np.nonzero(items >= 0)
    all_scores[rows, items[rows, places]] = scores[rows, places]
    return all_scores


MODELS: dict[str, Learn] = {name: partial(learn_design, design) for name, design in PRESETS.items()}
