"""What finds the items of users: of a trained generator, of the item graph, or the most popular ones."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from models.generator.graph import Bools, Floats, ItemGraph
from models.generator.model import Generator
from models.generator.recommend import build_trie, find_best_codes, find_best_items
from models.generator.saved import load, save
from models.generator.seen import seen_items
from models.precision import device
from models.ranker.histories import Histories, Int64s

Scored = tuple[Int64s, Floats]  # items, the best first, and their scores
# Finds the best k items of users with histories, user indices, ends of their histories and k. Returns items and scores
# [users, k], filled up with items of -1.
FindItems = Callable[[Histories, Int64s, Int64s, int], Scored]
STEPS, LISTED, OPTIONS = "steps.npz", "listed.npy", "options.json"  # files that are saved
CODES = "codes.npy"  # only of a language model, which `language_model_lists` loads


def make_finder(model: Generator, is_listed: Tensor, *, beam: int) -> FindItems:
    """What finds the items of a trained generator: listed items that a user has not seen.

    A user gets none if the model knows no item of the user's history. Memory is that of the users of a call.

    is_listed  [items] bool
    beam       how many prefixes of codes the search keeps; with fewer items than that, it finds all of them
    """
    is_listed = is_listed.to(model.device)
    is_described = model.items.is_described().cpu().numpy()
    trie = build_trie(model, is_listed) if model.design.heads[0] == "codes" else None

    def find_items(histories: Histories, users: Int64s, ends: Int64s, k: int) -> Scored:
        top, scores = np.full((len(users), k), -1), np.full((len(users), k), -np.inf, np.float32)
        offsets, seen = seen_items(histories, users, ends)
        counts = np.concatenate([[0], np.cumsum(is_described[seen])])[offsets]
        rows = np.flatnonzero(np.diff(counts))
        if not len(rows):
            return top, scores
        users, ends = users[rows], ends[rows]
        states, excluded = model.encode(histories, users, ends), seen_items(histories, users, ends)
        if trie is not None:
            best = find_best_codes(model, states, trie, k=k, beam=max(beam, k), excluded=excluded)
        else:
            best = find_best_items(model, states, k, excluded, is_listed)
        top[rows], scores[rows] = best.items.cpu().numpy(), best.scores.cpu().numpy()
        return top, scores

    return find_items


def save_finder(model: Generator, is_listed: Tensor, folder: Path, *, beam: int) -> None:
    """Write what `load_finder` reads into an existing folder."""
    save(model, folder)
    np.save(folder / LISTED, is_listed.cpu().numpy())
    (folder / OPTIONS).write_text(json.dumps({"beam": beam}))


def make_graph_finder(graph: ItemGraph, is_listed: Bools) -> FindItems:
    """What finds the items of the graph. is_listed: [items], the others are in no list"""
    return partial(graph.top_items, excluded=~is_listed)


def save_graph_finder(graph: ItemGraph, is_listed: Bools, folder: Path) -> None:
    """Write what `load_finder` reads into an existing folder."""
    sparse.save_npz(folder / STEPS, graph.steps)
    np.save(folder / LISTED, is_listed)


def load_finder(folder: Path) -> FindItems:
    """What `save_finder` or `save_graph_finder` wrote, as `make_finder` or `make_graph_finder` makes it."""
    is_listed = np.load(folder / LISTED)
    if (folder / STEPS).exists():
        return make_graph_finder(ItemGraph(sparse.load_npz(folder / STEPS)), is_listed)
    options = json.loads((folder / OPTIONS).read_text())
    return make_finder(load(folder).to(device()), torch.from_numpy(is_listed), **options)


def find_lists(
    finders: Mapping[str, FindItems], popular: tuple[str, FindItems], histories: Histories, users: Int64s, ends: Int64s,
    k: int,
) -> Iterator[tuple[str, Int64s, Scored]]:  # fmt: skip
    """The lists of each source: its name, the users, and what it finds for them.

    popular  name of the source for users for whom no other one finds anything, and what finds its items; it comes last
    """
    has_items = np.zeros(len(users), bool)
    for source, find_items in finders.items():
        scored = find_items(histories, users, ends, k)
        has_items |= scored[0][:, 0] >= 0
        yield source, users, scored
    source, find_popular = popular
    yield source, users[~has_items], find_popular(histories, users[~has_items], ends[~has_items], k)


def make_popular_finder(popular: Scored) -> FindItems:
    """What finds the most popular items that a user has not acted on. popular: items and their scores, best first"""
    best_items, counts = popular

    def find_items(histories: Histories, users: Int64s, ends: Int64s, k: int) -> Scored:
        items, scores = np.full((len(users), k), -1), np.zeros((len(users), k), np.float32)
        for row, (begin, end) in enumerate(zip(histories.offsets[users], ends, strict=True)):
            events = np.arange(begin, end)
            seen = histories.items[events[~histories.is_hidden(events, np.array(end))]]
            first = best_items[: k + len(seen)]  # enough, whatever was seen
            best = np.flatnonzero(~np.isin(first, seen))[:k]
            items[row, : len(best)], scores[row, : len(best)] = first[best], counts[best]
        return items, scores

    return find_items
