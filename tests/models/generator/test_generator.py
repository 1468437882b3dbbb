"""What the generator learns, sees and gives back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.generator import (
    PRESETS,
    Design,
    Generator,
    build_trie,
    find_best_codes,
    find_best_items,
    load,
    reindex_items,
    save,
    seen_items,
)
from models.generator.beam import Beams
from models.generator.design import Head
from models.generator.scoring import score_all
from models.generator.words import Words
from tests.models.generator.toy import (
    ITEMS,
    TEXT,
    build_generator,
    ends_before_last,
    have_same_weights,
    make_codes,
    make_histories,
    make_texts,
    shrink,
    train,
)

DESIGNS = {name: shrink(design) for name, design in PRESETS.items()}
WIDE = ITEMS  # a beam that loses nothing


def find_best(model: Generator, users: np.ndarray, k: int = 3) -> Beams:
    """The best items after all events but the last."""
    histories = make_histories()
    states = model.encode(histories, users, ends_before_last(histories)[users])
    if "codes" in model.design.heads:
        return find_best_codes(model, states, build_trie(model), k=k, beam=WIDE)
    return find_best_items(model, states, k)


@pytest.fixture(scope="module", params=list(DESIGNS))
def trained(request: pytest.FixtureRequest) -> Generator:
    model = build_generator(DESIGNS[request.param])
    epochs = 24 if "parallel" in model.design.heads else 12  # codes that do not see each other learn the rule later
    curve = train(model, make_histories(), epochs=epochs, valid_users=0)  # keeps the last epoch, for all heads
    assert curve[-1].train_loss < curve[0].train_loss
    return model


def test_each_head_learns_to_put_the_right_next_item_first(trained: Generator) -> None:
    histories, users = make_histories(), np.arange(200)
    targets = histories.items[ends_before_last(histories)[users]]
    assert (find_best(trained, users).items[:, 0].numpy() == targets).mean() > 0.9
    if {"items", "codes"} <= set(trained.design.heads):
        states = trained.encode(histories, users, ends_before_last(histories)[users])
        assert (find_best_items(trained, states, 1).items[:, 0].numpy() == targets).mean() > 0.9


def test_no_state_sees_later_events(trained: Generator) -> None:
    items = torch.randint(ITEMS, (4, 8))
    changed = torch.cat([items[:, :5], (items[:, 5:] + 1) % ITEMS], dim=1)
    with torch.no_grad():
        states, others = trained.eval().read(items), trained.read(changed)
    torch.testing.assert_close(states[:, :6], others[:, :6])  # column 5 is the state after five events
    assert not torch.isclose(states[:, 6:], others[:, 6:]).all(dim=2).any()


def test_a_history_gives_the_same_state_in_any_company(trained: Generator) -> None:
    histories, users = make_histories(), np.array([7, 3, 11])
    ends = histories.offsets[users] + np.array([3, 2, 0])
    together = trained.encode(histories, users, ends)
    for place, (user, end) in enumerate(zip(users, ends, strict=True)):
        alone = trained.encode(histories, np.array([user]), np.array([end]))
        torch.testing.assert_close(together.last[place], alone.last[0])


def test_the_beam_finds_what_all_scores_say(trained: Generator) -> None:
    if "codes" not in trained.design.heads:
        with pytest.raises(ValueError, match="codes are decoded by the head `codes`"):
            trained.step(trained.encode(make_histories(), np.arange(1), np.ones(1, int)))(
                0, torch.zeros(1, dtype=torch.int64), torch.zeros(1, 0, dtype=torch.int64)
            )
        return
    histories, users, trie = make_histories(), np.arange(20), build_trie(trained)
    states = trained.encode(histories, users, ends_before_last(histories)[users])
    scores = score_all(trie, trained.step(states), users=20, renormalise=True)
    torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(20))
    if "items" in trained.design.heads:
        scores += trained.design.item_weight * trained.score_items(states)
    best = find_best_codes(trained, states, trie, k=5, beam=WIDE)
    torch.testing.assert_close(best.scores, scores.topk(5, dim=1).values)


def test_seen_items_and_users_without_history_are_handled(trained: Generator) -> None:
    histories, users = make_histories(), np.arange(30)
    ends = np.where(users % 3 == 0, histories.offsets[users], ends_before_last(histories)[users])
    states, excluded = trained.encode(histories, users, ends), seen_items(histories, users, ends)
    if "codes" in trained.design.heads:
        best = find_best_codes(trained, states, build_trie(trained), k=5, beam=WIDE, excluded=excluded)
    else:
        best = find_best_items(trained, states, 5, excluded)
    assert (best.items >= 0).all()
    assert best.scores.isfinite().all()
    for user, items in enumerate(best.items.numpy()):
        assert not np.isin(items, histories.items[histories.offsets[user] : ends[user]]).any()


def test_a_saved_model_comes_back(trained: Generator, tmp_path: Path) -> None:
    save(trained, tmp_path)
    loaded = load(tmp_path)
    assert loaded.design == trained.design
    assert have_same_weights(loaded, trained)
    a, b = (find_best(model, np.arange(20)) for model in (loaded, trained))
    assert torch.equal(a.items, b.items)


def test_items_can_move_to_other_indices(trained: Generator) -> None:
    histories, users, shift = make_histories(), np.arange(20), 5
    moved = reindex_items(trained, (torch.arange(ITEMS) + shift) % ITEMS)
    later = replace(histories, items=(histories.items - np.int32(shift)) % np.int32(ITEMS))
    ends = ends_before_last(histories)[users]
    before, after = trained.encode(histories, users, ends), moved.encode(later, users, ends)
    torch.testing.assert_close(before.last, after.last)
    with pytest.raises(ValueError, match="codes are"):
        moved.items.set_codes(make_codes()[:-1])


@pytest.mark.parametrize("head", ["items", "codes"])
def test_a_new_item_is_recommended_by_its_text_and_codes(head: Head) -> None:
    model, histories = build_generator(replace(DESIGNS["sidereal"], heads=(head,), id_dropout=0.3)), make_histories()
    train(model, histories)
    new, like = ITEMS, 10  # the new item's text and first codes are those of an old item
    codes = torch.cat([make_codes(), torch.tensor([[*make_codes()[like, :2], 3]])]) if head == "codes" else None
    text = torch.eye(TEXT)[[*range(ITEMS), like]]
    texts = make_texts()
    model = reindex_items(model, torch.tensor([*range(ITEMS), -1]), codes, text, Words.read([*texts, texts[like]]))
    targets = histories.items[ends_before_last(histories)]
    assert new in find_best(model, np.flatnonzero(targets == like)[:1], k=5).items
    assert new not in find_best(model, np.flatnonzero(targets == like + 1)[:1], k=5).items


def test_an_item_without_id_text_and_codes_is_never_recommended() -> None:
    model = build_generator(DESIGNS["sasrec"])
    train(model, make_histories(), epochs=1)
    model = reindex_items(model, torch.tensor([*range(ITEMS), -1, -1]))
    best = find_best(model, np.arange(5), k=ITEMS + 2)
    assert (best.items[:, -2:] == -1).all()
    assert (best.items[:, :-2] < ITEMS).all()


def test_a_design_without_what_it_needs_is_refused() -> None:
    with pytest.raises(ValueError, match="need code_sizes or text_dim"):
        Generator(design=Design(("id", "codes")), n_items=3)
    model = build_generator(DESIGNS["tiger"])
    with pytest.raises(ValueError, match="beyond its level's size"):
        model.items.set_codes(make_codes() + 3)
    states = model.encode(make_histories(), np.arange(2), make_histories().offsets[1:3])
    with pytest.raises(ValueError, match="search the codes with a beam"):
        model.score_items(states)
