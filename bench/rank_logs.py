"""Labelled logs for bench/rank.py: what is to be foretold, and what was known at each moment.

`published`: the labels of the training rows and the liked items before a row, as the published rows of CoLLM's split
had them. `until_now`: all feedback strictly before the moment, also what the user disliked, and running rates, as a
daily system has it.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from items import item_rows, item_text
from numpy.typing import NDArray

from models.ranker.histories import Histories, Int64s
from models.ranker.rates import Rates

Information = Literal["published", "until_now"]
Floats = NDArray[np.float32]
LIKED, DISLIKED = 0, 1  # types of events


@dataclass(frozen=True)
class Log:
    """Rows of one set in the order of time, by what is known at them.

    texts, categories   of the items
    part                [rows] 0 train, 1 validation, 2 test
    user, item, ts, label   [rows]; ts in microseconds
    histories, end      what every user did, and where each row's history ends
    rates               [rows, RATES] float32
    """

    texts: list[str]
    categories: Int64s
    part: Int64s
    user: Int64s
    item: Int64s
    ts: Int64s
    label: Floats
    histories: Histories
    end: Int64s
    rates: Floats


def load(folder: Path, information: Information, new: float = 0.0) -> Log:
    """A set, of which a share of the items, `new`, is there from the first test row on: nothing before was of them.

    raises  ValueError if there is no such set, or none with that information
    """
    if (folder / "train.jsonl.gz").exists():
        if new:
            raise ValueError(f"{folder}: histories are told by its rows, so no item can be left out of them")
        return _split_rows(folder, information)
    if information == "published":
        raise ValueError(f"{folder} has no published split: only until_now")
    return _events(folder, new)


def _split_rows(folder: Path, information: Information) -> Log:
    """CoLLM's own split of MovieLens-1M: labelled rows in files of train, valid and test."""
    rows = [row | {"part": part} for part, name in enumerate(("train", "valid", "test"))
            for row in _lines(folder / f"{name}.jsonl.gz")]  # fmt: skip
    rows.sort(key=lambda row: row["ts"])  # stable: rows of one second keep the order that their histories show
    items, texts, categories = _items(folder)
    users = {user: at for at, user in enumerate(sorted({row["user_id"] for row in rows}))}
    user, item, part, label = (
        np.array([of(row) for row in rows], np.int64)
        for of in (
            lambda r: users[r["user_id"]],
            lambda r: items[r["item_id"]],
            lambda r: r["part"],
            lambda r: r["label"],
        )
    )
    ts = np.array([_micros(row["ts"]) for row in rows])
    liked = label == 1
    if information == "published":
        order = np.arange(len(rows))
        histories = Histories.from_arrays(user[liked], item[liked], order[liked], len(users))
        end = histories.ends(user, order)
        assert (histories.lengths(user, end) == [len(row["history"]) for row in rows]).all()
        train = part == 0
        rates = running_rates(user, item, ts, train, train & liked, ts)
    else:
        kinds = np.where(liked, LIKED, DISLIKED)
        histories = Histories.from_arrays(user, item, ts, len(users), kinds=kinds)
        end = histories.ends(user, ts)
        rates = running_rates(user, item, ts, part >= 0, liked, ts)
    return Log(texts, categories, part, user, item, ts, label.astype(np.float32), histories, end, rates)


def _events(folder: Path, new: float) -> Log:
    """Ratings of 4 and more against the rest, or impressions with and without a click; the last fifth is the test.

    Of ratings it is the last fifth of time, of impressions the last fifth of the requests; validation is the tenth
    before it.
    """
    items, texts, categories = _items(folder)
    events = list(_lines(folder / "events.jsonl.gz"))
    clicked = {(row["request_id"], row["item_id"]): _micros(row["ts"]) for row in events if row["event"] == "click"}
    rows = [row for row in events if row["event"] in ("impression", "rating") and row["item_id"] in items]
    rows.sort(key=lambda row: (row["ts"], row["user_id"], row.get("position", 0), row["item_id"]))
    users = {user: at for at, user in enumerate(sorted({row["user_id"] for row in rows}))}
    user = np.array([users[row["user_id"]] for row in rows])
    item = np.array([items[row["item_id"]] for row in rows])
    ts = np.array([_micros(row["ts"]) for row in rows])
    if rows[0]["event"] == "rating":
        label, liked_at = np.array([row["value"] >= 4 for row in rows], np.int64), ts
        place = np.arange(len(rows)) / len(rows)
        done, kinds = np.ones(len(rows), bool), np.where(label == 1, LIKED, DISLIKED)
    else:
        liked_at = np.array([clicked.get((row["request_id"], row["item_id"]), -1) for row in rows])
        label = (liked_at >= 0).astype(np.int64)
        first = {name: at for at, name in enumerate(dict.fromkeys(row["request_id"] for row in rows))}
        place = np.array([first[row["request_id"]] for row in rows]) / len(first)
        done, kinds = label == 1, np.full(len(rows), LIKED)  # what was shown and left is told by the rates
    part = (place >= 0.7).astype(np.int64) + (place >= 0.8)
    late = np.random.default_rng(0).random(len(items)) < new
    there = (part == 2) | ~late[item]
    user, item, ts, label, liked_at, done, kinds, part = (
        column[there] for column in (user, item, ts, label, liked_at, done, kinds, part)
    )
    histories = Histories.from_arrays(user[done], item[done], liked_at[done], len(users), kinds=kinds[done])
    end, rates = histories.ends(user, ts), running_rates(user, item, ts, part >= 0, label == 1, liked_at)
    return Log(texts, categories, part, user, item, ts, label.astype(np.float32), histories, end, rates)


def running_rates(
    user: Int64s, item: Int64s, ts: Int64s, shown: NDArray[np.bool_], liked: NDArray[np.bool_], liked_at: Int64s
) -> Floats:
    """[rows, RATES] as of `Rates.at`.

    shown     [rows] that are counted at all
    liked     [rows] that are positive, which is known from liked_at [rows] on
    """
    rates = Rates.from_arrays(
        (user[shown], item[shown], ts[shown]),
        (user[liked], item[liked], liked_at[liked]),
        int(user.max()) + 1,
        int(item.max()) + 1,
        window=1 << 62,
    )
    return rates.at(user, item, ts)


def _items(folder: Path) -> tuple[dict[str, int], list[str], Int64s]:
    """Index and text of each item, and its category from broad to narrow, -1: none."""
    rows = item_rows(folder)
    names = [" > ".join(row["category"] or []) for row in rows.values()]
    index: dict[Any, int] = {name: at for at, name in enumerate(sorted({name for name in names if name}))}
    categories = np.array([index.get(name, -1) for name in names])
    return {name: at for at, name in enumerate(rows)}, [item_text(row) for row in rows.values()], categories


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt") as lines:
        yield from map(json.loads, lines)


def _micros(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e6)
