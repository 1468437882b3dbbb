"""Events that are taken back, such as cancelled purchases: they count until that moment, and then no more."""

from typing import Any

import numpy as np
import pytest
import torch

from models.ranker.design import Design
from models.ranker.histories import Histories, Int64s
from models.ranker.rates import Rates
from models.ranker.samples import search_histories

USERS, ITEMS, EVENTS, ROWS = 5, 8, 300, 120
CLICK, PURCHASE = 0, 1
Columns = tuple[Int64s, ...]  # user, ts, item, kind, and when the event was taken back


def make_log(seed: int) -> Columns:
    """Events of two kinds, many at the same moment; most purchases are taken back, some at once, some never."""
    rng = np.random.default_rng(seed)
    user, item, ts, kind = (rng.integers(0, below, EVENTS) for below in (USERS, ITEMS, 100, 2))
    wait = np.where(rng.random(EVENTS) < 0.7, rng.integers(0, 40, EVENTS), 10_000)
    return user, ts, item, kind, ts + np.where(kind == PURCHASE, wait, 10_000)


def build(log: Columns) -> Histories:
    """Histories with the events that are taken back, and with their markers."""
    user, ts, item, kind, until = log
    gone = np.flatnonzero(until < 10_000)
    columns = [
        np.concatenate([column, marker])
        for column, marker in ((user, user[gone]), (ts, until[gone]), (item, item[gone]), (kind, ~kind[gone]))
    ]
    seq = np.zeros(len(columns[0]), np.int64)
    part = columns[0], columns[1], seq, columns[2], columns[3]
    histories = Histories.from_parts(np.bincount(columns[0], minlength=USERS), [part])
    return histories.take_back(user[gone], item[gone], ts[gone], until[gone], PURCHASE)


def see(log: Columns, moment: int) -> Histories:
    """The histories of a log in which nothing ever happened that is taken back before the moment."""
    user, ts, item, kind, _ = (column[log[4] >= moment] for column in log)
    return Histories.from_arrays(user, item, ts, USERS, kinds=kind)


DESIGNS = [
    Design(search=search, distinct=distinct, k=6, lists=lists)
    for search in ("latest", "item_embedding", "category")
    for distinct in (False, True)
    for lists in ((), ((CLICK, 3), (PURCHASE, 4)))
]


@pytest.mark.parametrize(
    "design", DESIGNS, ids=lambda d: f"{d.search}-{'distinct' if d.distinct else 'all'}-{len(d.lists)}"
)
def test_a_search_finds_what_it_would_find_had_the_event_never_happened(design: Design) -> None:
    log, rng = make_log(1), np.random.default_rng(2)
    user, target, until = rng.integers(0, USERS, ROWS), rng.integers(0, ITEMS, ROWS), rng.integers(0, 150, ROWS)
    vectors = torch.from_numpy(rng.integers(-2, 3, (ITEMS, 3)).astype(np.float32))
    features: Any = {"vectors": vectors, "categories": torch.arange(ITEMS) % 3}
    histories = build(log)
    end = histories.ends(user, until)
    found = search_histories(design, histories, user, target, end, **features)
    length = histories.lengths(user, end)
    for row in range(ROWS):
        seen = see(log, until[row])
        alone = user[row : row + 1], target[row : row + 1]
        seen_end = seen.ends(alone[0], until[row : row + 1])
        expected = search_histories(design, seen, *alone, seen_end, **features)
        assert found.items[row].tolist() == expected.items[0].tolist()
        assert found.sims[row].tolist() == expected.sims[0].tolist()
        moments = [np.where(r.events < 0, -1, h.ts[r.events]) for r, h in ((found, histories), (expected, seen))]
        assert moments[0][row].tolist() == moments[1][0].tolist()
        assert length[row] == seen.lengths(alone[0], seen_end)[0]


def test_rates_count_a_purchase_from_its_moment_until_it_is_taken_back_or_too_old() -> None:
    user, ts, item, _, until = make_log(3)
    shown = user, item, ts
    gone = until < 10_000
    row_user, row_item = np.repeat(np.arange(USERS), ITEMS), np.tile(np.arange(ITEMS), USERS)
    cancelled = user[gone], item[gone], ts[gone]
    rates = Rates.from_arrays(shown, shown, USERS, ITEMS, window=30, cancelled=cancelled, cancelled_at=until[gone])
    for moment in (0, 1, 20, 50, 99, 140):
        still = until >= moment
        left = user[still], item[still], ts[still]
        expected = Rates.from_arrays(shown, left, USERS, ITEMS, window=30)
        now = np.full(len(row_user), moment)
        assert np.array_equal(rates.at(row_user, row_item, now), expected.at(row_user, row_item, now))
