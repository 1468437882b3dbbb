"""The lists of a trained generator, and how many of the items that users act on next a source finds."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jobs.generation.shards import FindItems, Scored
from models.generator import Generator, build_trie, find_best_codes, find_best_items, load, save, seen_items
from models.precision import device
from models.ranker.histories import Histories, Int64s

LISTED, OPTIONS = "listed.npy", "options.json"  # files of `save_finder`
CODES = "codes.npy"  # of a language model


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


def load_finder(folder: Path) -> FindItems:
    """What `save_finder` wrote, as `make_finder` makes it."""
    is_listed = torch.from_numpy(np.load(folder / LISTED))
    return make_finder(load(folder).to(device()), is_listed, **json.loads((folder / OPTIONS).read_text()))


def measure_hit_rate(
    find_items: FindItems, histories: Histories, users: Int64s, before: Int64s, after: Int64s, k: int, n_items: int
) -> tuple[float, int]:
    """Of all items that users acted on for the first time in a period, the share in the lists made at its beginning.

    before, after  [users] where the histories of these users end at the beginning and at the end of the period
    returns        the share, NaN if there is no such item, and the number of such items
    """
    new = np.setdiff1d(_seen_keys(histories, users, after, n_items), _seen_keys(histories, users, before, n_items))
    items, _ = find_items(histories, users, before, k)
    rows, places = np.nonzero(items >= 0)
    is_hit = np.isin(new, rows * n_items + items[rows, places])
    return (float(is_hit.mean()) if len(new) else np.nan), len(new)


def _seen_keys(histories: Histories, users: Int64s, ends: Int64s, n_items: int) -> Int64s:
    """A number for each user (its place) and each item that the user has acted on; a pair may be repeated."""
    offsets, items = seen_items(histories, users, ends)
    return np.repeat(np.arange(len(users)), np.diff(offsets)) * n_items + items
