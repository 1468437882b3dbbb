"""Labelled logs for bench/rank.py: the labels to predict, and what was known at the time of each row.

`published`  the labels of the training rows, and the items that the user liked before a row, as the published rows of
             CoLLM's split have them
`until_now`  all feedback strictly before the row, also dislikes, and running rates of it, as a daily system knows them

With `until_now`, each test row is in the log a second time as it is served: it knows what happened until the end of the
day before, when lists are made. So is each validation row, by which settings are chosen.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from items import build_item_text, read_items
from numpy.typing import NDArray

from models.ranker.histories import Histories, Int64s
from models.ranker.rates import Rates

Information = Literal["published", "until_now"]
Floats = NDArray[np.float32]
LIKED, DISLIKED, IMPRESSION = range(3)  # types of events
TRAIN, VALID, TEST, SERVED, VALID_SERVED = range(5)  # the last two: test and validation rows again, as served
DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class LabelledLog:
    """Rows of one data set in the order of time, those as served last, and what was known at each of them.

    texts, categories   of the items
    part                [rows] TRAIN, VALID, TEST, SERVED or VALID_SERVED
    user, item, ts, label   [rows]; ts in microseconds
    histories, end      what every user did, and where each row's history ends
    rates               [rows, RATES] float32
    shown, shown_end    the histories with all that users were shown, and where each row's ends
    shown_kinds         types of the events that showed an item
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
    shown: Histories
    shown_end: Int64s
    shown_kinds: tuple[int, ...] = (LIKED, DISLIKED)


def load_log(folder: Path, information: Information, new: float = 0.0) -> LabelledLog:
    """Load a data set.

    new     share of the items that only appear from the first test row on; earlier events of these items are dropped
    raises  ValueError if the folder does not hold this kind of information, or `new` cannot be applied to it
    """
    if (folder / "train.jsonl.gz").exists():
        if new:
            raise ValueError(
                f"--new does not work with {folder}: its rows hold finished histories; use a landing folder"
            )
        return _load_split(folder, information)
    if information == "published":
        raise ValueError(f"{folder} has no published split (train.jsonl.gz); use --information until_now")
    return _load_events(folder, new)


def _load_split(folder: Path, information: Information) -> LabelledLog:
    """CoLLM's own split of MovieLens-1M: labelled rows in files of train, valid and test."""
    rows = [row | {"part": part} for part, name in enumerate(("train", "valid", "test"))
            for row in _read_lines(folder / f"{name}.jsonl.gz")]  # fmt: skip
    rows.sort(key=lambda row: row["ts"])  # stable: rows of the same second keep the order in which histories list them
    items, texts, categories = _load_items(folder)
    users = {user: n for n, user in enumerate(sorted({row["user_id"] for row in rows}))}
    user, item, part, label = (
        np.array([read_value(row) for row in rows], np.int64)
        for read_value in (
            lambda r: users[r["user_id"]],
            lambda r: items[r["item_id"]],
            lambda r: r["part"],
            lambda r: r["label"],
        )
    )
    ts = np.array([_to_microseconds(row["ts"]) for row in rows])
    liked = label == 1
    if information == "published":
        order = np.arange(len(rows))
        histories = Histories.from_arrays(user[liked], item[liked], order[liked], len(users))
        end = histories.ends(user, order)
        assert (histories.lengths(user, end) == [len(row["history"]) for row in rows]).all()
        is_train = part == 0
        rates = build_rates(user, item, ts, is_train, is_train & liked, ts).at(user, item, ts)
        kinds = np.where(liked, LIKED, DISLIKED)[is_train]
        shown = Histories.from_arrays(user[is_train], item[is_train], order[is_train], len(users), kinds=kinds)
        shown_end = shown.ends(user, order)
    else:
        kinds = np.where(liked, LIKED, DISLIKED)
        histories = Histories.from_arrays(user, item, ts, len(users), kinds=kinds)
        running = build_rates(user, item, ts, part >= 0, liked, ts)
        return _add_served(
            texts, categories, part, user, item, ts, label.astype(np.float32), histories, running, histories
        )
    return LabelledLog(
        texts, categories, part, user, item, ts, label.astype(np.float32), histories, end, rates, shown, shown_end
    )


def _load_events(folder: Path, new: float) -> LabelledLog:
    """Ratings, of which 4 and more are positive, or impressions, of which those with a click are positive.

    The last fifth is the test part: of the ratings in the order of time, or of the requests. The tenth before it is the
    validation part.
    """
    items, texts, categories = _load_items(folder)
    events = list(_read_lines(folder / "events.jsonl.gz"))
    clicked_at = {
        (row["request_id"], row["item_id"]): _to_microseconds(row["ts"]) for row in events if row["event"] == "click"
    }
    rows = [row for row in events if row["event"] in ("impression", "rating") and row["item_id"] in items]
    rows.sort(key=lambda row: (row["ts"], row["user_id"], row.get("position", 0), row["item_id"]))
    users = {user: n for n, user in enumerate(sorted({row["user_id"] for row in rows}))}
    user = np.array([users[row["user_id"]] for row in rows])
    item = np.array([items[row["item_id"]] for row in rows])
    ts = np.array([_to_microseconds(row["ts"]) for row in rows])
    if rows[0]["event"] == "rating":
        label, liked_at = np.array([row["value"] >= 4 for row in rows], np.int64), ts
        position = np.arange(len(rows)) / len(rows)
        in_history, kinds = np.ones(len(rows), bool), np.where(label == 1, LIKED, DISLIKED)
        shown_kinds: tuple[int, ...] = (LIKED, DISLIKED)
    else:
        liked_at = np.array([clicked_at.get((row["request_id"], row["item_id"]), -1) for row in rows])
        label = (liked_at >= 0).astype(np.int64)
        request_index = {name: n for n, name in enumerate(dict.fromkeys(row["request_id"] for row in rows))}
        position = np.array([request_index[row["request_id"]] for row in rows]) / len(request_index)
        in_history, kinds = label == 1, np.full(len(rows), LIKED)  # other impressions only count in rates
        shown_kinds = (IMPRESSION,)
    part = (position >= 0.7).astype(np.int64) + (position >= 0.8)
    is_new_item = np.random.default_rng(0).random(len(items)) < new
    keep = (part == 2) | ~is_new_item[item]
    user, item, ts, label, liked_at, in_history, kinds, part = (
        column[keep] for column in (user, item, ts, label, liked_at, in_history, kinds, part)
    )
    histories = Histories.from_arrays(
        user[in_history], item[in_history], liked_at[in_history], len(users), kinds=kinds[in_history]
    )
    running = build_rates(user, item, ts, part >= 0, label == 1, liked_at)
    shown = histories
    if shown_kinds == (IMPRESSION,):
        shown_user, shown_item = (np.concatenate([column, column[in_history]]) for column in (user, item))
        shown_ts = np.concatenate([ts, liked_at[in_history]])
        kinds = np.concatenate([np.full(len(ts), IMPRESSION), kinds[in_history]])
        shown = Histories.from_arrays(shown_user, shown_item, shown_ts, len(users), kinds=kinds)
    labels = label.astype(np.float32)
    return _add_served(texts, categories, part, user, item, ts, labels, histories, running, shown, shown_kinds)


def _add_served(
    texts: list[str], categories: Int64s, part: Int64s, user: Int64s, item: Int64s, ts: Int64s, label: Floats,
    histories: Histories, running: Rates, shown: Histories, shown_kinds: tuple[int, ...] = (LIKED, DISLIKED),
) -> LabelledLog:  # fmt: skip
    """The log of these rows, with the test and validation rows a second time as served. A log of one day is served at
    the first row of the part."""
    is_one_day = ts.max() - ts.min() < DAY
    for of, served in ((TEST, SERVED), (VALID, VALID_SERVED)):
        rows = np.flatnonzero(part == of)
        moment = np.full(len(rows), ts[rows].min()) if is_one_day else ts[rows] // DAY * DAY
        part = np.concatenate([part, np.full(len(rows), served)])
        user, item, label = (np.concatenate([column, column[rows]]) for column in (user, item, label))
        ts = np.concatenate([ts, moment])
    ends = [of.ends(user, ts) for of in (histories, shown)]
    rates = running.at(user, item, ts)
    return LabelledLog(
        texts, categories, part, user, item, ts, label, histories, ends[0], rates, shown, ends[1], shown_kinds
    )


def build_rates(
    user: Int64s, item: Int64s, ts: Int64s, shown: NDArray[np.bool_], liked: NDArray[np.bool_], liked_at: Int64s
) -> Rates:
    """The running rates of rows.

    shown     [rows] whether the row counts at all
    liked     [rows] whether the row is positive; this is known from liked_at [rows] on
    """
    return Rates.from_arrays(
        (user[shown], item[shown], ts[shown]),
        (user[liked], item[liked], liked_at[liked]),
        int(user.max()) + 1,
        int(item.max()) + 1,
        window=1 << 62,
    )


def _load_items(folder: Path) -> tuple[dict[str, int], list[str], Int64s]:
    """Index and text of each item, and the number of its category from broad to narrow; -1 is no category."""
    rows = read_items(folder)
    names = [" > ".join(row["category"] or []) for row in rows.values()]
    index: dict[Any, int] = {name: n for n, name in enumerate(sorted({name for name in names if name}))}
    categories = np.array([index.get(name, -1) for name in names])
    return {name: n for n, name in enumerate(rows)}, [build_item_text(row) for row in rows.values()], categories


def _read_lines(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt") as lines:
        yield from map(json.loads, lines)


def _to_microseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e6)
