"""Similar rates: the kernels, compared with a plain loop over the events, and what a row may not know."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.ranker.event_kinds import EVENT_KINDS
from models.ranker.gsu import round_to_grid
from models.ranker.histories import Histories
from models.ranker.similar_rates import HEAVIEST, PRIOR, SIMILAR_RATES, SimilarRates

N_USERS, N_ITEMS, N_EVENTS, N_ROWS = 6, 12, 200, 90
CLICK, PURCHASE, LIKE, IMPRESSION, DISLIKE = (
    EVENT_KINDS[name] for name in ("click", "purchase", "like", "impression", "dislike")
)
rng = np.random.default_rng(0)
VECTORS = round_to_grid(torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(N_ITEMS, 3))).float(), dim=1))
CATEGORIES = torch.from_numpy(rng.integers(-1, 3, N_ITEMS))
USER, TARGET = rng.integers(0, N_USERS, N_ROWS), rng.integers(0, N_ITEMS, N_ROWS)
UNTIL, ODDS = rng.integers(0, 120, N_ROWS), rng.normal(size=N_ROWS).astype(np.float32)


def draw_histories(kinds: tuple[int, ...]) -> Histories:
    user, item = rng.integers(0, N_USERS - 1, N_EVENTS), rng.integers(0, N_ITEMS, N_EVENTS)  # one user has no events
    return Histories.from_arrays(user, item, rng.integers(0, 100, N_EVENTS), N_USERS, kinds=rng.choice(kinds, N_EVENTS))


def expected_row(histories: Histories, rates: SimilarRates, row: int, end: int) -> list[float]:
    """The similar rates of a row, event by event."""
    assert histories.kinds is not None
    shown, taken = np.zeros(5), np.zeros(5)
    begin = max(histories.offsets[USER[row]], end - rates.max_history)
    for event in range(begin, end):
        similarity = float(VECTORS[TARGET[row]] @ VECTORS[histories.items[event]])
        categories = CATEGORIES[TARGET[row]], CATEGORIES[histories.items[event]]
        wide, similar, narrow = (min(np.exp((similarity - 0.6) / width), HEAVIEST) for width in (0.2, 0.1, 0.05))
        recent = similar * np.exp(-(end - 1 - event) / 30)
        weights = np.array([wide, similar, narrow, categories[0] == categories[1] >= 0, recent])
        shown += weights * (histories.kinds[event] in rates.shown)
        taken += weights * (histories.kinds[event] == rates.taken)
    shown, mean = np.maximum(shown, taken), 1 / (1 + np.exp(-ODDS[row]))
    odds = np.log((taken + PRIOR * mean) / (shown - taken + PRIOR * (1 - mean)))
    return list(np.stack([odds - ODDS[row], np.log1p(shown) / 5], axis=1).ravel())


@pytest.mark.parametrize("max_history", [10_000, 7])
@pytest.mark.parametrize(
    ("task", "kinds"),
    [("click", (CLICK, IMPRESSION, IMPRESSION)), ("purchase", (CLICK, PURCHASE)), ("like", (LIKE, DISLIKE))],
)
def test_rates_are_those_of_a_loop_over_the_events(task: str, kinds: tuple[int, ...], max_history: int) -> None:
    histories, rates = draw_histories(kinds), SimilarRates.of_task(task, VECTORS, CATEGORIES, max_history)
    end = histories.ends(USER, UNTIL)
    computed = rates.at(histories, USER, TARGET, end, ODDS)
    expected = [expected_row(histories, rates, row, int(end[row])) for row in range(N_ROWS)]
    assert computed.shape == (N_ROWS, SIMILAR_RATES)
    assert computed.dtype == np.float32
    np.testing.assert_allclose(computed, expected, atol=1e-4)


def test_a_row_does_not_depend_on_what_happens_later_or_on_the_rows_beside_it() -> None:
    histories, rates = draw_histories((CLICK, IMPRESSION)), SimilarRates.of_task("click", VECTORS, CATEGORIES, 10_000)
    assert histories.kinds is not None
    row = int(np.argmax(UNTIL < 60))
    place = np.array([row])
    end = histories.ends(USER, UNTIL)
    together = rates.at(histories, USER, TARGET, end, ODDS)[place]
    later = histories.ts >= UNTIL[row]
    assert later.any()
    changed = replace(
        histories,
        items=np.where(later, 0, histories.items).astype(np.int32),
        kinds=np.where(later, CLICK, histories.kinds).astype(np.int8),
    )
    alone = rates.at(changed, USER[place], TARGET[place], end[place], ODDS[place])
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_a_user_without_events_has_the_users_own_rate() -> None:
    histories, rates = draw_histories((CLICK, IMPRESSION)), SimilarRates.of_task("click", VECTORS, CATEGORIES, 10_000)
    nobody = np.array([N_USERS - 1])
    computed = rates.at(histories, nobody, np.array([0]), histories.offsets[nobody + 1], np.array([0.3]))
    np.testing.assert_allclose(computed, 0, atol=1e-6)


def test_a_purchase_that_was_cancelled_does_not_count_afterwards() -> None:
    rates = SimilarRates.of_task("purchase", VECTORS, CATEGORIES, 10_000)
    user, item, ts = np.zeros(2, np.int64), np.full(2, 4), np.array([10, 20])
    kinds = np.array([PURCHASE, ~PURCHASE], np.int8)
    histories = Histories.from_arrays(user, item, ts, 1, kinds=kinds).take_back(
        user[:1], item[:1], ts[:1], ts[1:], PURCHASE
    )
    until = np.array([15, 25])
    computed = rates.at(histories, user, item, histories.ends(user, until), np.zeros(2))
    assert computed[0].any()
    assert not computed[1].any()


def test_histories_without_types_are_refused() -> None:
    histories = Histories.from_arrays(np.array([0]), np.array([1]), np.array([5]), 1)
    rates = SimilarRates.of_task("click", VECTORS, CATEGORIES, 10_000)
    with pytest.raises(ValueError, match="build the histories with kinds"):
        rates.at(histories, np.array([0]), np.array([1]), np.array([1]), np.zeros(1))
