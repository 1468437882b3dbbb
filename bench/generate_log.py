"""Logs for bench/generate.py: what each user chose in order, and which items are to be predicted.

An event counts if it is a click, a purchase or a rating of 4 and more. Only users with an ID count, and only items that
occur in such an event. A target is an item that the user has not chosen before.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from items import FIELDS, build_item_text, read_items
from numpy.typing import NDArray

from jobs.encoders.location import encoder_location
from jobs.encoders.settings import Encoder
from jobs.runtime.progress import progress
from models.encoder import embedder
from models.encoder.sentence_embedder import SentenceEmbedder
from models.ranker.histories import Histories, Int64s

Order = Literal["raw", "shuffled"]
Split = Literal["leave_one_out", "time"]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
LIKED = 4  # the lowest rating that counts
DAY = 86_400_000_000  # microseconds
FEWEST = 5  # events of an item in the usual logs that are split by leave one out ("5-core")


@dataclass(frozen=True)
class Catalogue:
    """The items of a log by index.

    items  [items] title, category and attributes; None if the log says nothing about the item
    texts  [items] as the encoder of a daily run receives them
    """

    items: list[dict[str, Any]]
    texts: list[str]

    @cached_property
    def vectors(self) -> Floats:
        """[items, dim] unit vectors of the texts, from the built-in encoder; zeros for an item without a text."""
        encoder = Encoder()
        model = SentenceEmbedder(encoder_location(encoder), max_tokens=encoder.max_tokens)
        report_progress = progress("embedding", every=30)
        vectors = embedder.embed(model, self.texts, tokens_per_batch=encoder.tokens_per_batch, progress=report_progress)
        return vectors * np.array([[bool(text)] for text in self.texts], np.float32)


@dataclass(frozen=True)
class Questions:
    """Users with a history and with targets.

    users, ends   [rows], index of the user, and where its known history ends
    target_rows   [targets], ascending, the row of each target
    target_items  [targets]
    """

    users: Int64s
    ends: Int64s
    target_rows: Int64s
    target_items: Int64s


@dataclass(frozen=True, eq=False)
class KnownLog:
    """What a preset may learn from. It holds no test event. Two logs are never equal, so it can be a key.

    train_ends   [users] where each history ends for training; what follows is for validation
    valid        questions that settings may be chosen by
    fewest       the fewest events that an item has in the log, test events included, if that is public knowledge
    """

    catalogue: Catalogue
    histories: Histories
    train_ends: Int64s
    valid: Questions
    fewest: int

    @property
    def n_items(self) -> int:
        return len(self.catalogue.texts)

    def train_items(self) -> Int64s:
        """The item of every event of training [events]."""
        users = np.repeat(np.arange(len(self.train_ends)), np.diff(self.histories.offsets))
        is_train = np.arange(len(users)) < self.train_ends[users]
        return self.histories.items[is_train].astype(np.int64)

    def count_items(self) -> Int64s:
        """The number of events of training of each item [items], at least `fewest`.

        Where every item is known to have five events, an item with four in training is the next item of somebody.
        """
        return np.maximum(np.bincount(self.train_items(), minlength=self.n_items), self.fewest)


# Histories, users and ends of their known histories [rows] -> scores [rows, items], -inf if an item is not proposed.
Scores = Callable[[Histories, Int64s, Int64s], Floats]
Learn = Callable[[KnownLog, int], Scores]  # from a log and a seed


@dataclass(frozen=True)
class SequenceLog:
    """A log in order, with its test.

    histories  of all events
    test       the questions; their histories also hold the events of validation
    """

    known: KnownLog
    histories: Histories
    test: Questions


@dataclass(frozen=True)
class Events:
    """The events of a landing folder [events], in no particular order; ts in microseconds."""

    catalogue: Catalogue
    users: Int64s
    items: Int64s
    ts: Int64s
    seq: Int64s

    @classmethod
    def read(cls, folder: Path) -> "Events":
        """Read events*.jsonl.gz and items*.jsonl.gz, in the folder or in its day folders.

        raises  ValueError if there is no event that counts
        """
        files = sorted([*folder.glob("events*.jsonl.gz"), *folder.glob("*/events*.jsonl.gz")])
        rows = [row for file in files for row in _read_lines(file) if _is_counted(row)]
        if not rows:
            raise ValueError(f"{folder} has no events*.jsonl.gz with clicks, purchases or ratings of {LIKED} and more")
        users = {user: n for n, user in enumerate(sorted({row["user_id"] for row in rows}))}
        items = {item: n for n, item in enumerate(sorted({row["item_id"] for row in rows}))}
        described, nothing = read_items(folder), dict.fromkeys(FIELDS)
        texts = [build_item_text(described[item]) if item in described else "" for item in items]
        catalogue = Catalogue([described.get(item, nothing) for item in items], texts)
        columns = [
            (users[row["user_id"]], items[row["item_id"]], _to_microseconds(row["ts"]), row.get("seq", place))
            for place, row in enumerate(rows)
        ]
        return cls(catalogue, *np.array(columns, np.int64).T)

    def arrange(self, split: Split, order: Order, seed: int) -> SequenceLog:
        """Put the events in order and split them.

        order   `raw` is the order of ts, then of seq or of the lines. `shuffled` forgets the order within a day.
        raises  ValueError if a split by time is impossible
        """
        ts, seq = self.ts, self.seq
        if order == "shuffled":
            ts, seq = ts // DAY * DAY, np.random.default_rng(seed).permutation(len(ts))
        histories = Histories.from_arrays(self.users, self.items, ts, int(self.users.max()) + 1, seq)
        begins, stops = histories.offsets[:-1], histories.offsets[1:]
        if split == "leave_one_out":
            has_three = stops - begins >= 3
            train_ends = np.where(has_three, stops - 2, stops)
            valid_ends = np.where(has_three, stops - 1, stops)
        else:
            users = np.arange(len(stops))
            train_ends, valid_ends = (histories.ends(users, np.full(len(users), cut)) for cut in self._find_cuts())
        known_histories = _cut(histories, valid_ends)
        train_ends = train_ends - begins + known_histories.offsets[:-1]
        valid = _build_questions(known_histories, train_ends, known_histories.offsets[1:])
        fewest = FEWEST if split == "leave_one_out" else 0
        known = KnownLog(self.catalogue, known_histories, train_ends, valid, fewest)
        return SequenceLog(known, histories, _build_questions(histories, valid_ends, stops))

    def _find_cuts(self) -> tuple[int, int]:
        """The beginnings of the days after which validation, and then test begin: 70 % and 80 % of the events."""
        valid, test = (int(ts) // DAY * DAY for ts in np.quantile(self.ts, [0.7, 0.8]))
        if not self.ts.min() < valid < test:
            raise ValueError("the events are of too few days for a split by time: use --split leave_one_out")
        return valid, test


def _cut(histories: Histories, ends: Int64s) -> Histories:
    """The histories without the events at and after the ends [users]."""
    users = np.repeat(np.arange(len(ends)), np.diff(histories.offsets))
    is_kept = np.arange(len(users)) < ends[users]
    offsets = np.concatenate([[0], np.cumsum(ends - histories.offsets[:-1])])
    return Histories(offsets, histories.items[is_kept], histories.ts[is_kept])


def _build_questions(histories: Histories, ends: Int64s, stops: Int64s) -> Questions:
    """Ask for the items between `ends` and `stops` [users] that are not in the history before `ends`."""
    owners = np.repeat(np.arange(len(ends)), np.diff(histories.offsets))
    keys = owners * (int(histories.items.max()) + 1) + histories.items
    first = np.sort(np.unique(keys, return_index=True)[1])  # a user's first event with each item
    has_history = ends > histories.offsets[:-1]
    is_target = (first >= ends[owners[first]]) & (first < stops[owners[first]]) & has_history[owners[first]]
    targets = first[is_target]
    users, rows = np.unique(owners[targets], return_inverse=True)
    return Questions(users, ends[users], rows, histories.items[targets].astype(np.int64))


def _read_lines(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt") as lines:
        yield from map(json.loads, lines)


def _is_counted(row: dict[str, Any]) -> bool:
    is_liked = row["event"] == "rating" and (row.get("value") or 0) >= LIKED
    return row.get("user_id") is not None and (is_liked or row["event"] in ("click", "purchase"))


def _to_microseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e6)
