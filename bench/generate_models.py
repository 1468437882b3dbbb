"""The trained presets of bench/generate.py: the designs of `models.generator`."""

from functools import lru_cache, partial
from typing import Literal

import numpy as np
import torch
from generate_log import Bools, Floats, KnownLog, Learn, Scores

from jobs.runtime.progress import progress
from models import collaborative, quantizers
from models.candidates import OFFSET
from models.generator.beam import Beams
from models.generator.design import PRESETS, Design
from models.generator.fusion import Fusion
from models.generator.graph import ItemGraph
from models.generator.model import Generator
from models.generator.recommend import build_trie, find_best_codes
from models.generator.seen import seen_items
from models.generator.training import fit
from models.generator.words import Words
from models.precision import device
from models.quantizers.twins import number_twins
from models.ranker.histories import Histories, Int64s

SIZES = (256, 256, 256)
LIST, BEAM = 50, 64  # items of a list, and the width of the search for it
EPOCHS, PATIENCE, TOKENS, NEGATIVES, LR, VALID_USERS = 100, 4, 2048, 2048, 1e-3, 4000


def learn_design(design: Design, log: KnownLog, seed: int) -> Scores:
    """The design's first head scores."""
    model = train_design(design, log, seed)
    return score_by_beam(model) if design.heads[0] == "codes" else score_all_items(model)


def learn_fused(log: KnownLog, seed: int) -> Scores:
    """The preset `sidereal`, the item graph and popular items. The validation items train what ranks them."""
    model = train_design(PRESETS["sidereal"], log, seed)
    contents = build_word_graph(log)
    rows = log.valid.target_rows
    fusion = Fusion.learn(
        model, build_trie(model), contents, log.count_items(), log.histories, log.valid.users[rows],
        log.valid.ends[rows], log.valid.target_items, seed,
    )  # fmt: skip

    def scores(histories: Histories, users: Int64s, ends: Int64s) -> Floats:
        items, item_scores = fusion.top_items(histories, users, ends, LIST)
        return spread(Beams(torch.from_numpy(items), torch.from_numpy(item_scores)), log.n_items)

    return scores


def learn_fused_ranks(log: KnownLog, seed: int) -> Scores:
    """The lists of `sidereal` and of `graph_words`, joined by reciprocal rank fusion."""
    by_model = score_by_beam(train_design(PRESETS["sidereal"], log, seed))
    graph = build_word_graph(log)

    def scores(histories: Histories, users: Int64s, ends: Int64s) -> Floats:
        by_graph, _ = graph.top_items(histories, users, ends, LIST)
        votes = np.zeros((len(users), log.n_items), np.float32)
        for items in (list_best(by_model(histories, users, ends)), by_graph):
            rows, places = np.nonzero(items >= 0)
            votes[rows, items[rows, places]] += 1 / (OFFSET + 1 + places)
        return np.where(votes > 0, votes, -np.inf).astype(np.float32)

    return scores


def list_best(scores: Floats) -> Int64s:
    """The items [rows, LIST] with the best scores, best first; -1 for none."""
    items = np.argsort(-scores, axis=1, kind="stable")[:, :LIST]
    return np.where(np.isfinite(np.take_along_axis(scores, items, axis=1)), items, -1)


def build_word_graph(log: KnownLog) -> ItemGraph:
    """The item graph that also looks at the words of items."""
    vectors = Words.read(log.catalogue.texts).tf_idf()
    return ItemGraph.from_histories(log.histories, log.train_ends, n_items=log.n_items, vectors=vectors)


@lru_cache(maxsize=1)  # `fused` takes the model of `sidereal` if that was just trained
def train_design(design: Design, log: KnownLog, seed: int) -> Generator:
    """Train until the validation users' next items are predicted no better."""
    no_codes = torch.zeros(log.n_items, 0, dtype=torch.int64)
    return train_on_codes(design, log, fit_codes(log.catalogue.vectors, seed) if design.reads_codes else no_codes, seed)


def train_on_codes(design: Design, log: KnownLog, codes: torch.Tensor, seed: int) -> Generator:
    """The same with other codes [items, levels]; -1 for an item without codes, no levels if the design has no codes."""
    text = torch.from_numpy(log.catalogue.vectors) if "text" in design.inputs else torch.zeros(log.n_items, 0)
    sizes = tuple((codes.amax(dim=0) + 1).tolist())
    model = Generator(design=design, n_items=log.n_items, code_sizes=sizes, text_dim=text.shape[1], seed=seed)
    model.items.set_codes(codes)
    model.items.set_text(text)
    if "words" in design.inputs:
        model.items.set_words(Words.read(log.catalogue.texts))
    fit(
        model.to(device()), log.histories, log.train_ends, seed=seed, epochs=EPOCHS, tokens=TOKENS,
        negatives=NEGATIVES, lr=LR, valid_users=VALID_USERS, patience=PATIENCE, progress=progress("training", every=30),
    )  # fmt: skip
    return model


def learn_behaviour(
    log: KnownLog, kind: Literal["lightgcn", "dccf"], seed: int, epochs: int = 30, hidden: Bools | None = None
) -> collaborative.BehaviourVectors:
    """Vectors of what users chose in training. hidden: [items] whose events do not count, none by default"""
    users = np.repeat(np.arange(len(log.train_ends)), np.diff(log.histories.offsets))
    is_train = np.arange(len(users)) < log.train_ends[users]
    if hidden is not None:
        is_train &= ~hidden[log.histories.items]
    return collaborative.fit(
        users[is_train], log.histories.items[is_train], len(log.train_ends), log.n_items, kind=kind, epochs=epochs,
        seed=seed, progress=progress(kind, every=30),
    )  # fmt: skip


def fit_codes(vectors: Floats, seed: int) -> torch.Tensor:
    """Semantic IDs of items [items, levels + 1]: see `number_codes`."""
    has_vector = np.any(vectors, axis=1)
    known = torch.from_numpy(vectors[has_vector])
    return number_codes(
        has_vector, quantizers.fit("res_kmeans_fsq", known, sizes=SIZES, seed=seed).encode(known).numpy()
    )


def number_codes(has_codes: Bools, codes: Int64s) -> torch.Tensor:
    """Codes and a twin number of all items [items, levels + 1]; -1 for an item without codes.

    has_codes  [items]
    codes      [items with codes, levels]
    """
    twins = number_twins(codes, np.zeros((0, codes.shape[1]), np.int64), np.zeros(0, np.int64))
    all_codes = np.full((len(has_codes), codes.shape[1] + 1), -1)
    all_codes[has_codes] = np.column_stack([codes, twins])
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


DESIGNS: dict[str, Learn] = {name: partial(learn_design, design) for name, design in PRESETS.items()}
MODELS = DESIGNS | {"fused_ranks": learn_fused_ranks, "fused": learn_fused}
