"""The constrained beam: the same items as brute force, and never one that the user must not get."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from torch import Tensor

from models.generator import beam as beam_module
from models.generator import scoring
from models.generator.beam import search
from models.generator.scoring import Step, score_all
from models.generator.trie import CodeTrie
from tests.models.generator.catalogue import make_codes, make_step

USERS, ITEMS, SIZES = 7, 90, (8, 6, 5)
CODES = make_codes(ITEMS, *SIZES)
TRIE = CodeTrie.build(CODES)
STEP = make_step(*SIZES, 4, users=USERS)


def rank(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The best items [users, count] of all scores [users, items] and their scores; equal scores by item."""
    values, items = scores.sort(dim=1, descending=True, stable=True)
    return items[:, :count].masked_fill(values[:, :count].isneginf(), -1), values[:, :count]


def exclude(pairs: Iterable[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of `excluded` from a list of items for each user."""
    lists = [np.array(items, np.int32) for items in pairs]
    return np.cumsum([0, *map(len, lists)]), np.concatenate(lists)


@pytest.mark.parametrize("renormalise", [False, True])
def test_a_wide_beam_finds_what_scoring_all_items_finds(renormalise: bool) -> None:
    beams = search(TRIE, STEP, users=USERS, beam=ITEMS, renormalise=renormalise)
    items, scores = rank(score_all(TRIE, STEP, users=USERS, renormalise=renormalise), ITEMS)
    torch.testing.assert_close(beams.scores, scores)
    assert torch.equal(beams.items, items)


@pytest.mark.parametrize("levels", [1, 2, 40])
def test_any_number_of_levels_gives_the_items_of_brute_force(levels: int) -> None:
    codes = torch.arange(30).unsqueeze(1) if levels == 1 else make_codes(30, 7, *(2,) * (levels - 2))
    trie = CodeTrie.build(codes)
    step = make_step(*trie.sizes, users=3, seed=4)
    beams = search(trie, step, users=3, beam=30, renormalise=False)
    items, scores = rank(score_all(trie, step, users=3, renormalise=False), 30)
    torch.testing.assert_close(beams.scores, scores)
    assert torch.equal(beams.items, items)


def test_the_scores_of_all_items_are_the_sums_over_their_codes() -> None:
    scores = score_all(TRIE, STEP, users=USERS, renormalise=False)
    for user in range(USERS):
        for item in range(0, ITEMS, 7):
            steps = [STEP(level, torch.tensor([user]), CODES[[item], :level])[0] for level in range(4)]
            expected = sum(float(step[code]) for step, code in zip(steps, CODES[item].tolist(), strict=True))
            assert float(scores[user, item]) == pytest.approx(expected, abs=1e-5)


def test_renormalised_probabilities_of_all_items_sum_to_one() -> None:
    scores = score_all(TRIE, STEP, users=USERS, renormalise=True)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(USERS))
    expected = torch.zeros(ITEMS)
    for level in range(TRIE.levels):
        logits = STEP(level, torch.zeros(ITEMS, dtype=torch.int64), CODES[:, :level])
        for item in range(ITEMS):
            exists = list(set(CODES[(CODES[:, :level] == CODES[item, :level]).all(1), level].tolist()))
            expected[item] += logits[item, CODES[item, level]] - logits[item, exists].logsumexp(0)
    torch.testing.assert_close(scores[0], expected)


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("beam", [1, 2, 5, 20])
def test_a_narrow_beam_returns_different_live_items_with_their_true_scores(beam: int, renormalise: bool) -> None:
    codes = CODES.clone()
    codes[::3] = -1  # gone
    trie = CodeTrie.build(codes)
    beams = search(trie, STEP, users=USERS, beam=beam, renormalise=renormalise)
    assert (beams.items >= 0).all()  # no place of the beam went to a prefix that leads nowhere
    assert not set(range(0, ITEMS, 3)) & set(beams.items.flatten().tolist())
    assert all(len(set(row)) == beam for row in beams.items.tolist())
    everything = score_all(trie, STEP, users=USERS, renormalise=renormalise)
    torch.testing.assert_close(beams.scores, everything.gather(1, beams.items))
    assert (beams.scores.diff(dim=1) <= 0).all()


def test_the_beam_keeps_the_best_prefixes_of_each_level() -> None:
    """The same as a search in plain Python that looks at one prefix at a time."""
    beams = search(TRIE, STEP, users=USERS, beam=4, renormalise=False)
    items = {tuple(row): item for item, row in enumerate(CODES.tolist())}
    for user in range(USERS):
        kept: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
        for level in range(4):
            longer = []
            for score, prefix in kept:
                logits = STEP(level, torch.tensor([user]), torch.tensor([prefix], dtype=torch.int64).view(1, level))[0]
                codes = {path[level] for path in items if path[:level] == prefix}
                longer += [(score + float(logits[code]), (*prefix, code)) for code in codes]
            kept = sorted(longer, reverse=True)[:4]
        assert beams.items[user].tolist() == [items[path] for _, path in kept]


def test_fewer_items_than_the_beam_leave_empty_places_behind_them() -> None:
    trie = CodeTrie.build(make_codes(3, *SIZES))
    beams = search(trie, STEP, users=USERS, beam=5, renormalise=False)
    assert (beams.items[:, :3] >= 0).all()
    assert (beams.scores[:, :3] > -torch.inf).all()
    assert (beams.items[:, 3:] == -1).all()
    assert (beams.scores[:, 3:] == -torch.inf).all()


def test_no_live_item_and_no_user_give_empty_beams() -> None:
    trie = CodeTrie.build(torch.full((4, 3), -1))
    beams = search(trie, STEP, users=2, beam=3, renormalise=True)
    assert beams.items.tolist() == [[-1] * 3] * 2
    assert score_all(trie, STEP, users=2, renormalise=True).tolist() == [[-torch.inf] * 4] * 2
    assert search(TRIE, STEP, users=0, beam=3, renormalise=True).items.shape == (0, 3)


def test_an_item_of_probability_zero_is_not_returned() -> None:
    def only_even(level: int, users: Tensor, prefixes: Tensor) -> Tensor:
        logits = STEP(level, users, prefixes).clone()
        logits[:, 1::2] = -torch.inf
        return logits

    even = (CODES % 2 == 0).all(1).nonzero().squeeze(1).tolist()
    for renormalise in (False, True):
        beams = search(TRIE, only_even, users=USERS, beam=ITEMS, renormalise=renormalise)
        assert sorted(beams.items[0][beams.items[0] >= 0].tolist()) == even
        scores = score_all(TRIE, only_even, users=USERS, renormalise=renormalise)
        assert (scores[0] > -torch.inf).nonzero().squeeze(1).tolist() == even


def stop_after(code: int, level: int) -> Step:
    """The same model, but after this first code no code of the level is possible."""

    def stop(at: int, users: Tensor, prefixes: Tensor) -> Tensor:
        logits = STEP(at, users, prefixes).clone()
        if at == level:
            logits[prefixes[:, 0] == code] = -torch.inf
        return logits

    return stop


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_no_item_comes_from_a_prefix_after_which_no_code_is_possible(level: int, renormalise: bool) -> None:
    step = stop_after(3, level)
    beams = search(TRIE, step, users=USERS, beam=ITEMS, renormalise=renormalise)
    items, scores = rank(score_all(TRIE, step, users=USERS, renormalise=renormalise), ITEMS)
    assert sorted(items[0][items[0] >= 0].tolist()) == (CODES[:, 0] != 3).nonzero().squeeze(1).tolist()
    assert torch.equal(beams.items, items)
    torch.testing.assert_close(beams.scores, scores)


@pytest.mark.parametrize("renormalise", [False, True])
def test_a_prefix_after_which_no_code_is_possible_leaves_its_place_to_others(renormalise: bool) -> None:
    for code in range(SIZES[0]):
        beams = search(TRIE, stop_after(code, 1), users=USERS, beam=3, renormalise=renormalise)
        assert (beams.items >= 0).all()


@pytest.mark.parametrize("beam", [1, 4, ITEMS])
def test_excluded_items_never_appear_and_take_no_place_from_others(beam: int) -> None:
    everything = score_all(TRIE, STEP, users=USERS, renormalise=False)
    best = rank(everything, ITEMS)[0].tolist()
    seen = [best[user][: 12 * user] for user in range(USERS)]  # user 0 has seen nothing, user 6 the best 72 items
    beams = search(TRIE, STEP, users=USERS, beam=beam, renormalise=False, excluded=exclude(seen))
    for user in range(USERS):
        left = min(beam, ITEMS - len(seen[user]))
        items = beams.items[user].tolist()
        assert not set(items) & set(seen[user])
        assert (beams.items[user] >= 0).sum() == left
        if beam == ITEMS:
            assert items[:left] == best[user][len(seen[user]) :]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_prefix_whose_items_are_all_excluded_leaves_the_beam_to_others(depth: int) -> None:
    """What is left is what a search finds in a catalogue that never had these items."""
    best = search(TRIE, STEP, users=USERS, beam=1, renormalise=False).items[:, 0]
    below = [(CODES[:, :depth] == CODES[item, :depth]).all(1).nonzero().squeeze(1).tolist() for item in best]
    beams = search(TRIE, STEP, users=USERS, beam=3, renormalise=False, excluded=exclude(below))
    for user in range(USERS):
        codes = CODES.clone()
        codes[below[user]] = -1
        without = search(CodeTrie.build(codes), STEP, users=USERS, beam=3, renormalise=False)
        assert beams.items[user].tolist() == without.items[user].tolist()
        torch.testing.assert_close(beams.scores[user], without.scores[user])


def test_a_pair_that_is_excluded_twice_counts_once() -> None:
    best = search(TRIE, STEP, users=USERS, beam=2, renormalise=False).items.tolist()
    once = search(TRIE, STEP, users=USERS, beam=3, renormalise=False, excluded=exclude(best))
    twice = search(TRIE, STEP, users=USERS, beam=3, renormalise=False, excluded=exclude(items * 2 for items in best))
    assert torch.equal(twice.items, once.items)


def test_excluding_an_item_without_codes_changes_nothing() -> None:
    trie = CodeTrie.build(torch.cat([CODES, torch.full((1, 4), -1)]))
    everything = search(trie, STEP, users=USERS, beam=ITEMS, renormalise=False)
    same = search(trie, STEP, users=USERS, beam=ITEMS, renormalise=False, excluded=exclude([[ITEMS]] * USERS))
    assert torch.equal(same.items, everything.items)


def test_items_of_equal_score_come_in_the_order_of_their_index() -> None:
    def same(level: int, users: Tensor, prefixes: Tensor) -> Tensor:
        return torch.zeros(len(users), 8)

    order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(5))
    for codes in (CODES, CODES[order]):
        beams = search(CodeTrie.build(codes), same, users=2, beam=ITEMS, renormalise=False)
        assert beams.items.tolist() == [list(range(ITEMS))] * 2
    one_level = CodeTrie.build(torch.arange(ITEMS).flip(0).unsqueeze(1))  # the beam cuts through equal scores
    flat = search(
        one_level, lambda level, users, prefixes: torch.zeros(len(users), ITEMS), users=1, beam=5, renormalise=True
    )
    assert flat.items.tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("cells", [1, 100, 1000])
def test_splitting_the_users_does_not_change_the_items(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = exclude([list(range(user, ITEMS, 5)) for user in range(USERS)])
    whole = search(TRIE, STEP, users=USERS, beam=6, renormalise=True, excluded=seen)
    everything = score_all(TRIE, STEP, users=USERS, renormalise=True)
    cells_of_calls: list[int] = []

    def counting(level: int, users: Tensor, prefixes: Tensor) -> Tensor:
        cells_of_calls.append(len(users) * TRIE.sizes[level])
        return STEP(level, users, prefixes)

    monkeypatch.setattr(beam_module, "CELLS_AT_ONCE", cells)
    monkeypatch.setattr(scoring, "CELLS_AT_ONCE", cells)
    parts = search(TRIE, counting, users=USERS, beam=6, renormalise=True, excluded=seen)
    assert torch.equal(parts.items, whole.items)
    torch.testing.assert_close(parts.scores, whole.scores)
    torch.testing.assert_close(score_all(TRIE, counting, users=USERS, renormalise=True), everything)
    assert max(cells_of_calls) <= max(cells, 6 * max(TRIE.sizes))  # a call has at least one user


def test_a_level_without_a_table_gives_the_same_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.generator.trie.TABLE_CELLS", 0)
    lists_only = CodeTrie.build(CODES)
    assert all(children.table is None for children in lists_only.children)
    seen = exclude([list(range(user, ITEMS, 5)) for user in range(USERS)])
    for renormalise in (False, True):
        with_tables = search(TRIE, STEP, users=USERS, beam=6, renormalise=renormalise, excluded=seen)
        without = search(lists_only, STEP, users=USERS, beam=6, renormalise=renormalise, excluded=seen)
        assert torch.equal(with_tables.items, without.items)
        torch.testing.assert_close(with_tables.scores, without.scores)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_scores_that_are_no_numbers_stop_the_search(bad: float) -> None:
    def broken(level: int, users: Tensor, prefixes: Tensor) -> Tensor:
        logits = STEP(level, users, prefixes).clone()
        if level == 2:
            logits[-1, 0] = bad
        return logits

    for find in (lambda: search(TRIE, broken, users=2, beam=3, renormalise=False), lambda: all_scores(broken)):
        with pytest.raises(ValueError, match="level 2: a score is NaN"):
            find()


def all_scores(step: Step) -> Tensor:
    return score_all(TRIE, step, users=2, renormalise=False)


def test_scores_of_a_wrong_shape_stop_the_search() -> None:
    with pytest.raises(ValueError, match=r"level 0: scores must be \[2, 8 or more\], not \[2, 7\]"):
        search(TRIE, lambda *_: torch.zeros(2, 7), users=2, beam=3, renormalise=False)


@pytest.mark.parametrize(
    ("excluded", "message"),
    [
        ((np.array([0, 1]), np.array([3])), "for 2 users"),
        ((np.array([0, 1, 2]), np.array([3])), "must ascend from 0 to 1"),
        ((np.array([0, 2, 1]), np.array([3])), "must ascend"),
        ((np.array([0, 1, 1]), np.array([ITEMS])), "outside"),
        ((np.array([0, 1, 1]), np.array([-1])), "outside"),
    ],
)
def test_excluded_pairs_that_do_not_fit_are_refused(excluded: tuple[np.ndarray, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search(TRIE, STEP, users=2, beam=3, renormalise=False, excluded=excluded)


def test_a_beam_of_no_place_is_refused() -> None:
    with pytest.raises(ValueError, match="beam must be at least 1"):
        search(TRIE, STEP, users=2, beam=0, renormalise=False)
