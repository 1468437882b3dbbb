"""Two towers: what they learn, what they must not see, and the pairs that they find."""

from collections import defaultdict

import numpy as np
import pytest
import torch

from models.ranker.histories import Histories
from models.two_tower import (
    LAST,
    Positives,
    TwoTower,
    fit,
    hit_rate,
    item_vectors,
    popularity_hit_rate,
    softmax_loss,
    split_by_time,
)
from models.user2item import find_user2item_pairs

ITEMS, GROUPS, USERS, EACH = 60, 6, 150, 20


def acted(seed: int = 0, users: int = USERS, change: tuple[int, int] | None = None) -> Positives:
    """Users who mostly act on items of their own group: item i is in group i % GROUPS.

    change  (moment, seed): from this moment on, users act on other items
    """
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), EACH)
    ts = rng.integers(0, 5 * EACH, len(user))  # some at the same moment
    item = rng.integers(0, ITEMS // GROUPS, len(user)) * GROUPS + user % GROUPS
    item = np.where(rng.random(len(user)) < 0.1, rng.integers(0, ITEMS, len(user)), item)
    happened = item
    if change:
        other = np.random.default_rng(change[1]).integers(0, ITEMS, len(user))
        happened = np.where(ts >= change[0], other, item)
    histories = Histories.from_arrays(user, happened, ts, users)
    data = Positives(histories, user, item, histories.ends(user, ts), ts)
    return data.take(data.end > histories.offsets[user])


def trained(data: Positives, *, seed: int = 0, epochs: int = 4, n_items: int = ITEMS) -> TwoTower:
    model = TwoTower(n_items=n_items, dim=16, seed=seed)
    fit(model, data, seed=seed, epochs=epochs, batch_size=128, lr=0.02)
    return model


def are_same(a: TwoTower, b: TwoTower) -> bool:
    other = b.state_dict()
    return all(torch.equal(value, other[name]) for name, value in a.state_dict().items())


@pytest.fixture(scope="module")
def model() -> TwoTower:
    return trained(acted())


def test_the_model_finds_what_a_user_acts_on_next(model: TwoTower) -> None:
    new = acted(seed=1)
    assert hit_rate(TwoTower(n_items=ITEMS, dim=16, seed=0), new, k=ITEMS // GROUPS) < 0.6
    assert hit_rate(model, new, k=ITEMS // GROUPS) > 0.8


def test_popularity_hits_what_was_most_frequent_before() -> None:
    data = acted()
    earlier, later = split_by_time(data, 0.3)
    frequent = np.bincount(earlier.target, minlength=ITEMS)
    hits = np.mean([(frequent >= frequent[target]).sum() <= 9 for target in later.target])
    assert popularity_hit_rate(earlier, later, n_items=ITEMS, k=9) == hits > 0


def test_items_of_the_same_users_are_alike(model: TwoTower) -> None:
    near = (item_vectors(model) @ item_vectors(model).T).fill_diagonal_(-1.0).argmax(dim=1)
    assert (near % GROUPS == torch.arange(ITEMS) % GROUPS).float().mean() > 0.9


def test_where_only_popularity_tells_items_apart_the_popular_ones_score_higher() -> None:
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(USERS), EACH)
    share = 1 / np.arange(1, ITEMS + 1)
    item = rng.choice(ITEMS, len(user), p=share / share.sum())
    ts = np.arange(len(user))
    histories = Histories.from_arrays(user, item, ts, USERS)
    data = Positives(histories, user, item, histories.ends(user, ts), ts)
    data = data.take(data.end > histories.offsets[user])
    model = trained(data)
    with torch.no_grad():
        score = (model.users(torch.from_numpy(data.history(slice(None))).long()) @ item_vectors(model).T).mean(dim=0)
    assert score[:5].mean() - score[-30:].mean() > 0.3


def test_a_popular_item_is_a_weaker_negative_by_the_log_of_its_share() -> None:
    users, items = torch.eye(3, 4), torch.eye(3, 4)
    target, plain = torch.arange(3), torch.zeros(3)
    lowered = softmax_loss(users, items, target, torch.tensor([0.0, 0.0, 1.0]))
    by_hand = torch.tensor([[5.0, 0, -1], [0, 5, -1], [0, 0, 4]]).log_softmax(dim=1).diagonal().mean()
    assert lowered.item() == pytest.approx(-by_hand.item(), abs=1e-5)
    assert softmax_loss(users, items, target, plain).item() != pytest.approx(lowered.item(), abs=1e-3)


def test_another_occurrence_of_the_target_is_no_negative() -> None:
    users, items = torch.eye(2, 4), torch.eye(1, 4).repeat(2, 1)
    assert softmax_loss(users, items, torch.tensor([7, 7]), torch.zeros(2)).item() == 0
    assert softmax_loss(users, items, torch.tensor([7, 8]), torch.zeros(2)).item() > 0.5


def test_the_same_seed_gives_the_same_weights() -> None:
    data = acted(users=40)
    assert are_same(trained(data, epochs=1), trained(data, epochs=1))
    assert not are_same(trained(data, epochs=1), trained(data, epochs=1, seed=1))


def test_training_does_not_depend_on_the_order_of_rows() -> None:
    data = acted(users=40)
    shuffled = data.take(np.random.default_rng(4).permutation(len(data)))
    assert are_same(trained(data, epochs=1), trained(shuffled, epochs=1))


def test_training_reports_its_progress() -> None:
    steps = list[tuple[int, int]]()
    data = acted(users=40).take(np.arange(300))
    fit(
        TwoTower(n_items=ITEMS, dim=16, seed=0), data, seed=0, epochs=2, batch_size=128, lr=0.02,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert steps == [(n, 6) for n in range(1, 7)]


def test_a_step_touches_only_the_items_of_its_batch() -> None:
    data = acted(users=40)
    model = trained(data, epochs=1, n_items=10_000)
    gradient = model.ids.weight.grad
    assert gradient is not None
    assert gradient.is_sparse
    assert gradient.coalesce().indices().max() < ITEMS


def test_the_latest_rows_are_held_out() -> None:
    data = acted()
    earlier, later = split_by_time(data.take(np.random.default_rng(0).permutation(len(data))), 0.1)
    assert len(later) == int(len(data) * 0.1)
    assert len(earlier) + len(later) == len(data)
    assert earlier.ts.max() <= later.ts.min()


def test_nothing_at_or_after_a_rows_moment_is_seen(model: TwoTower) -> None:
    moment = 3 * EACH
    before, after = acted(), acted(change=(moment, 5))
    early, late = np.flatnonzero(before.ts <= moment), np.flatnonzero(before.ts > moment)
    assert (before.history(early) == after.history(early)).all()
    assert (before.history(late) != after.history(late)).any()  # later rows see the change
    pairs = [
        find_user2item_pairs(item_vectors(model), data.take(early), pairs_per_item=100) for data in (before, after)
    ]
    for column, other in zip(*pairs, strict=True):
        assert np.array_equal(column, other)


@pytest.mark.parametrize("k", [2, 1000])
def test_a_pair_is_a_target_with_the_most_similar_other_item_of_its_history(model: TwoTower, k: int) -> None:
    data, item = acted(), item_vectors(model).numpy()
    score: dict[tuple[int, int], float] = defaultdict(float)
    for user, target, end in zip(data.user, data.target, data.end, strict=True):
        history = data.histories.items[max(data.histories.offsets[user], end - LAST) : end]
        cosines = [(float(item[target] @ item[other]), int(other)) for other in history if other != target]
        if cosines and max(cosines)[0] > 0:
            cosine, other = max(cosines)
            score[min(target, other), max(target, other)] += cosine
    kept = set()
    for each_item in range(ITEMS):
        of_item = sorted((-round(value, 4), pair) for pair, value in score.items() if each_item in pair)
        kept |= {pair for _, pair in of_item[:k]}
    a, b, scores = find_user2item_pairs(item_vectors(model), data, pairs_per_item=k)
    assert dict(zip(zip(a, b, strict=True), scores, strict=True)) == pytest.approx(
        {pair: score[pair] for pair in kept}, rel=1e-3
    )


def test_without_rows_there_are_no_pairs_and_no_hit_rate(model: TwoTower) -> None:
    no_rows = acted().take(np.zeros(0, np.int64))
    assert [len(column) for column in find_user2item_pairs(item_vectors(model), no_rows, pairs_per_item=5)] == [0, 0, 0]
    assert np.isnan(hit_rate(model, no_rows, k=5))
