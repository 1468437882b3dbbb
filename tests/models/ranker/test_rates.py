"""Running rates: no event of the future, no event older than the window, and the same numbers from totals."""

import sys

import numpy as np
import pytest

from models.ranker.rates import RATES, Events, Rates, Totals


def test_rates_count_what_was_shown_and_taken_strictly_before_the_moment() -> None:
    shown = (np.array([0, 0, 1, -1]), np.array([3, 4, 3, 3]), np.array([10, 20, 30, 40]))
    taken = (np.array([0, 1]), np.array([3, 3]), np.array([15, 35]))
    rates = Rates.from_arrays(shown, taken, 2, 5, window=1000)
    user, item = np.array([0, 0, 0, 1]), np.array([3, 3, 4, 3])
    actual = rates.at(user, item, np.array([10, 16, 21, 41]))
    counts = np.array([  # shown and taken: by all users, by the user, of the item
        [[0, 0], [0, 0], [0, 0]],
        [[1, 1], [1, 1], [1, 1]],
        [[2, 1], [2, 1], [1, 0]],
        [[4, 2], [1, 1], [3, 2]],
    ])  # fmt: skip
    mean = (counts[:, :1, 1] + 1) / (counts[:, :1, 0] + 2)
    share = (counts[:, 1:, 1] + 5 * mean) / (counts[:, 1:, 0] + 5)
    expected = np.stack([np.log(share / (1 - share)), np.log1p(counts[:, 1:, 0]) / 5], axis=2).reshape(4, RATES)
    assert actual == pytest.approx(expected, rel=1e-6)


def test_rates_forget_events_older_than_the_window_and_equal_the_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["models.ranker.rates"], "EVENTS_AT_ONCE", 70)
    rng = np.random.default_rng(0)
    shown = (rng.integers(-1, 4, 500), rng.integers(0, 6, 500), rng.integers(0, 1000, 500))
    taken = (rng.integers(-1, 4, 300), rng.integers(0, 6, 300), rng.integers(0, 1000, 300))
    user, item = np.repeat(np.arange(4), 6), np.tile(np.arange(6), 4)
    rates = Rates.from_arrays(shown, taken, 4, 6, window=400).at(user, item, np.full(24, 1000))

    def split_in_two(user: np.ndarray, item: np.ndarray, ts: np.ndarray) -> list[Events]:
        late = ts >= 600
        return [(user[late][start::2], item[late][start::2], ts[late][start::2]) for start in (0, 1)]

    totals = Totals.count(split_in_two(*shown), split_in_two(*taken), 4, 6)
    assert np.array_equal(rates, totals.at(user, item))
    assert np.isfinite(rates).all()


def test_a_taken_item_counts_as_shown_whatever_happens_later() -> None:
    zero = np.zeros(4, int)
    taken, no_events = (zero, zero, np.arange(4)), (zero[:0], zero[:0], zero[:0])
    later = (zero[:1], zero[:1], np.array([100]))
    rows = (zero[:1], zero[:1], np.array([50]))
    without, with_later = (Rates.from_arrays(shown, taken, 1, 1, window=1000).at(*rows) for shown in (no_events, later))
    assert np.array_equal(without, with_later)
    assert without[0, 0] == pytest.approx(np.log((4 + 5 * 5 / 6) / (5 / 6)))  # 4 taken of 4 shown


def test_rates_of_a_log_without_impressions_do_not_reveal_its_length() -> None:
    zero = np.zeros(2, int)
    taken, others = (zero, zero, np.arange(2)), (np.full(9000, 1), np.full(9000, 1), np.full(9000, 3))
    short, long = (Totals.count([], parts, 2, 2).at(zero[:1], zero[:1]) for parts in ([taken], [taken, others]))
    assert long[0, 0] - short[0, 0] == pytest.approx(np.log((2 + 4.5) / 0.5) - np.log((2 + 3.75) / 1.25))
