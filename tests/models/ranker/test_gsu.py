"""What the GSU finds: no event of the future, the most similar events, repeated events as often as they happened."""

import numpy as np
import pytest
import torch

from models.ranker import Histories, pca, round_to_grid, search_latest, search_similar, sorting
from models.ranker import histories as histories_module
from models.ranker.gsu import compute_similarities
from models.ranker.search_result import _group_rows

ITEMS, K = 60, 6


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@pytest.fixture
def histories() -> Histories:
    """User 0: items 3, 4, 5 at 10, 20, 30. User 1: nothing. User 2: items 7, 7 at 15, 25."""
    return Histories.from_arrays(ints(2, 0, 0, 2, 0), ints(7, 5, 3, 7, 4), ints(25, 30, 10, 15, 20), 3)


def test_a_history_ends_before_an_event_of_the_same_microsecond(histories: Histories) -> None:
    ends = histories.ends(ints(0, 0, 2), ints(20, 21, 25))
    assert histories.lengths(ints(0, 0, 2), ends).tolist() == [1, 2, 1]


def test_an_item_of_the_future_is_never_found(histories: Histories) -> None:
    vectors = torch.eye(10)  # the future item 5 would be a perfect match
    end = histories.ends(ints(0), ints(30))
    assert search_similar(histories, vectors, ints(0), ints(5), end, k=3).items.tolist() == [[4, 3, -1]]
    assert search_latest(histories, ints(0), end, k=3).items.tolist() == [[4, 3, -1]]


def test_ends_agree_with_counting_for_every_user() -> None:
    rng = np.random.default_rng(0)
    users, ts = rng.integers(0, 9, 300), rng.integers(0, 50, 300)
    histories = Histories.from_arrays(users, rng.integers(0, ITEMS, 300), ts, 10)
    user, until = rng.integers(0, 10, 200), rng.integers(-5, 60, 200)
    counted = [int(((users == u) & (ts < t)).sum()) for u, t in zip(user, until, strict=True)]
    assert histories.lengths(user, histories.ends(user, until)).tolist() == counted


def test_histories_do_not_depend_on_the_order_of_events() -> None:
    rng = np.random.default_rng(1)
    users, items, ts = rng.integers(0, 5, 100), rng.integers(0, ITEMS, 100), rng.integers(0, 9, 100)
    order = rng.permutation(100)
    histories = Histories.from_arrays(users, items, ts, 5)
    shuffled = Histories.from_arrays(users[order], items[order], ts[order], 5)
    assert (histories.items == shuffled.items).all()
    assert (histories.ts == shuffled.ts).all()


def test_an_unknown_user_index_is_refused() -> None:
    with pytest.raises(ValueError, match="user index"):
        Histories.from_arrays(ints(3), ints(0), ints(0), 3)


def test_a_log_without_events_gives_empty_histories() -> None:
    empty = Histories.from_arrays(ints(), ints(), ints(), 2)
    end = empty.ends(ints(0, 1), ints(5, 5))
    assert search_latest(empty, ints(0, 1), end, k=2).items.tolist() == [[-1, -1]] * 2
    assert search_similar(empty, torch.eye(3), ints(0, 1), ints(0, 1), end, k=2).items.tolist() == [[-1, -1]] * 2


def test_padding_does_not_rank_above_a_dissimilar_item() -> None:
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-0.5, 0.5]])
    histories = Histories.from_arrays(ints(0, 0, 1, 1, 1), ints(1, 2, 1, 1, 1), ints(1, 2, 1, 2, 3), 2)
    items, sims, _ = search_similar(
        histories, vectors, ints(0, 1), ints(0, 0), histories.ends(ints(0, 1), ints(9, 9)), k=3
    )
    assert items.tolist() == [[2, 1, -1], [1, 1, 1]]
    assert sims[0].tolist() == [-0.5, -1.0, 0.0]


@pytest.mark.parametrize("items", [20, 20_000])  # both ways to compute scores
def test_an_event_whose_item_has_no_vector_comes_after_all_others_with_similarity_zero(items: int) -> None:
    vectors = torch.zeros(items, 2)
    vectors[:4] = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.6, 0.8], [-0.6, 0.8]])
    histories = Histories.from_arrays(ints(0, 0, 0, 0), ints(1, 9, 3, 9), ints(1, 2, 3, 4), 1)
    result = search_similar(histories, vectors, ints(0), ints(0), ints(4), k=5)
    assert result.items.tolist() == [[3, 1, 9, 9, -1]]
    assert result.sims.tolist() == [pytest.approx([-0.6, -1.0, 0.0, 0.0, 0.0])]


def test_repeated_events_are_found_as_often_as_they_happened(histories: Histories) -> None:
    end = histories.ends(ints(2), ints(99))
    assert search_similar(histories, torch.eye(10), ints(2), ints(7), end, k=3).items.tolist() == [[7, 7, -1]]


def test_distinct_finds_a_repeated_item_once_even_if_it_happens_again_later() -> None:
    events = ints(4, 5, 4, 6, 5, 4)
    histories = Histories.from_arrays(np.zeros(6, np.int64), events, np.arange(6), 1)
    ends = histories.ends(ints(0, 0, 0), ints(6, 3, 5))
    users = ints(0, 0, 0)
    result = search_latest(histories, users, ends, k=4, distinct=True)
    assert result.items.tolist() == [[4, 5, 6, -1], [4, 5, -1, -1], [5, 6, 4, -1]]
    assert result.events.tolist() == [[5, 4, 3, -1], [2, 1, -1, -1], [4, 3, 2, -1]]
    similar = search_similar(histories, torch.eye(10), users, ints(5, 5, 4), ends, k=2, distinct=True)
    assert similar.items.tolist() == [[5, 4], [5, 4], [4, 5]]
    assert similar.sims.tolist() == [[1, 0]] * 3


def test_samples_far_apart_share_no_group() -> None:
    histories = Histories.from_arrays(np.zeros(500, np.int64), np.arange(500) % 50, np.arange(500), 1)
    ends = histories.ends(np.zeros(6, np.int64), ints(5, 6, 100, 400, 401, 500))
    begins = np.maximum(0, ends - 10)
    batches = _group_rows(np.zeros(6, np.int64), begins, ends, 10)
    widths = [int((ends[rows].max(axis=1) - begins[rows].min(axis=1)).max()) for rows in batches]
    assert max(widths) < 20


def test_only_the_latest_events_of_a_very_long_history_are_searched(histories: Histories) -> None:
    end = histories.ends(ints(0), ints(99))
    items, _, _ = search_similar(histories, torch.eye(10), ints(0), ints(3), end, k=3, max_history=2)
    assert items.tolist() == [[5, 4, -1]]


@pytest.mark.parametrize(("items_per_event", "group", "cut"), [(0, 32, 999), (0, 2, 20), (400, 32, 20), (400, 1, 999)])
def test_search_agrees_with_a_full_sort_whatever_else_is_in_the_batch(
    monkeypatch: pytest.MonkeyPatch, items_per_event: int, group: int, cut: int
) -> None:
    monkeypatch.setattr("models.ranker.search_result.SCORES_PER_BATCH", 64)
    monkeypatch.setattr("models.ranker.gsu.ITEMS_PER_EVENT", items_per_event)
    monkeypatch.setattr("models.ranker.search_result.GROUP", group)
    rng = np.random.default_rng(3)
    users, items, ts = rng.integers(0, 20, 900), rng.integers(0, ITEMS, 900), np.arange(900)
    histories = Histories.from_arrays(users, items, ts, 20)
    vectors = torch.from_numpy(rng.integers(-2, 3, (ITEMS, 3)).astype(np.float32))  # many ties
    user, target, until = rng.integers(0, 20, 70), rng.integers(0, ITEMS, 70), rng.integers(0, 900, 70)
    found_items, sims, _ = search_similar(
        histories, vectors, user, target, histories.ends(user, until), k=K, max_history=cut
    )
    for row in range(70):
        past = items[(users == user[row]) & (ts < until[row])][::-1][:cut].copy()
        scores = (vectors[past] @ vectors[target[row]]).numpy()
        has_vector = vectors[past].any(dim=1).numpy()  # items without a vector come last
        best = np.lexsort((np.arange(len(past)), -scores, ~has_vector))[:K]
        assert found_items[row, : len(best)].tolist() == past[best].tolist()
        assert sims[row, : len(best)].tolist() == scores[best].tolist()


def test_similarities_are_the_same_whatever_else_is_in_the_batch() -> None:
    rng = np.random.default_rng(5)
    drawn = torch.randn(5, 64, generator=torch.Generator().manual_seed(5))
    vectors = round_to_grid(torch.nn.functional.normalize(drawn, dim=1))[torch.arange(25) % 5]  # five of each
    histories = Histories.from_arrays(np.zeros(300, np.int64), rng.integers(0, 25, 300), np.arange(300), 1)
    target, ends = rng.integers(0, 25, 40), rng.integers(1, 301, 40)
    users = np.zeros(40, np.int64)
    together = search_similar(histories, vectors, users, target, ends, k=20)
    assert np.array_equal(together.sims, compute_similarities(vectors, target, together.items))
    for row in range(40):
        alone = search_similar(histories, vectors, users[:1], target[row : row + 1], ends[row : row + 1], k=20)
        assert np.array_equal(alone.sims[0], together.sims[row])
        assert np.array_equal(alone.events[0], together.events[row])
        past = histories.items[: ends[row]]
        scores = (vectors[past] @ vectors[target[row]]).numpy()
        best = np.lexsort((-np.arange(len(past)), -scores))[:20]  # newest first
        assert alone.events[0, : len(best)].tolist() == best.tolist()


def test_pca_keeps_similarities_and_gives_the_same_signs_for_any_order_of_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("models.ranker.gsu.GRID", 1 << 22)  # a fine grid: almost no rounding
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(50, 4, generator=generator) @ torch.randn(4, 12, generator=generator)
    reduced = pca(vectors, 4)
    centred = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    torch.testing.assert_close(reduced @ reduced.T, centred @ centred.T, atol=1e-4, rtol=0)
    for order in (torch.arange(11, -1, -1), torch.arange(12).roll(5), torch.arange(12).roll(7)):
        torch.testing.assert_close(pca(vectors[:, order], 4), reduced, atol=1e-4, rtol=0)


def test_pca_refuses_vectors_that_it_cannot_reduce() -> None:
    with pytest.raises(ValueError, match="lower dim"):
        pca(torch.zeros(5, 3), 4)
    with pytest.raises(ValueError, match="NaN"):
        pca(torch.full((5, 3), torch.nan), 2)


def test_events_in_any_parts_give_the_histories_of_all_events(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    users, items, ts, seq, kinds = (rng.integers(0, below, 500) for below in (9, ITEMS, 40, 3, 2))
    users[users == 4] = 3
    histories = Histories.from_arrays(users, items, ts, 10, seq, kinds)
    assert histories.kinds is not None
    assert (histories.next_occurrence < 500).any()
    for module in (histories_module, sorting):
        monkeypatch.setattr(module, "EVENTS_AT_ONCE", 60)
    counts = np.bincount(users, minlength=10)
    for cuts in ([100, 101, 400], [], [0, 250]):
        parts = zip(*(np.split(column, cuts) for column in (users, ts, seq, items, kinds)), strict=True)
        from_parts = Histories.from_parts(counts, parts)
        for name in ("offsets", "items", "ts", "kinds", "next_occurrence"):
            assert np.array_equal(getattr(from_parts, name), getattr(histories, name)), name
        of_kind, positions = from_parts.select_kind(1)
        assert np.array_equal(positions, np.flatnonzero(histories.kinds == 1))
        assert np.array_equal(of_kind.items, histories.items[positions])
        assert np.array_equal(of_kind.offsets, np.searchsorted(positions, histories.offsets))


@pytest.mark.parametrize(("counts", "message"), [([1, 1], "more events"), ([2, 1], "fewer events")])
def test_events_that_do_not_match_the_counts_are_refused(counts: list[int], message: str) -> None:
    part = (ints(0, 0), ints(1, 2), ints(1, 2), ints(0, 0), ints(0, 0))
    with pytest.raises(ValueError, match=message):
        Histories.from_parts(np.array(counts), [part])
