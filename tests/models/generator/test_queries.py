"""Items for a text: queries in training, and what a trained model finds for them."""

import numpy as np
import pytest
import torch

from models.generator import PRESETS, Design, Generator, build_trie, find_best_codes, find_best_items
from models.generator.queries import draw_queries
from models.generator.words import Words
from models.ranker.histories import Histories
from tests.models.generator.toy import ITEMS, TEXT, build_generator, make_histories, shrink, train

DESIGN = shrink(PRESETS["sidereal"])
NEVER_SEEN = [5, 18, 30, 44]


def describe(item: int) -> str:
    return f"item of colour{item % 4} and kind{item // 4}"


def build() -> Generator:
    model = build_generator(DESIGN)
    model.items.set_words(Words.read(map(describe, range(ITEMS))))
    return model


def histories_without(items: list[int]) -> Histories:
    histories = make_histories()
    users = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
    kept = ~np.isin(histories.items, items)
    return Histories.from_arrays(users[kept], histories.items[kept], np.flatnonzero(kept), len(histories.offsets) - 1)


@pytest.fixture(scope="module")
def trained() -> Generator:
    model = build()
    train(model, histories_without(NEVER_SEEN), epochs=30, valid_users=0)  # the last epoch is kept
    return model


def find_first(model: Generator, texts: list[str], head: str) -> list[int]:
    states = model.encode_queries(Words.read(texts), torch.zeros(len(texts), TEXT))
    if head == "codes":
        best = find_best_codes(model, states, build_trie(model), k=3, beam=8)
    else:
        best = find_best_items(model, states, 3)
    items: list[int] = best.items[:, 0].tolist()
    return items


@pytest.mark.parametrize("head", ["codes", "items"])
def test_the_item_whose_words_the_query_holds_is_first_even_if_training_never_saw_it(
    trained: Generator, head: str
) -> None:
    texts = [f"KIND{item // 4}, colour{item % 4}" for item in range(ITEMS)]
    is_first = np.array(find_first(trained, texts, head)) == np.arange(ITEMS)
    assert not trained.items.known[NEVER_SEEN].any()
    assert is_first[NEVER_SEEN].all()
    assert is_first.mean() > 0.9


def test_a_text_vector_alone_finds_its_item(trained: Generator) -> None:
    known = [item for item in range(ITEMS) if item not in NEVER_SEEN]
    states = trained.encode_queries(Words.read([""] * len(known)), torch.eye(TEXT)[known])
    best = find_best_codes(trained, states, build_trie(trained), k=1, beam=8)
    assert (best.items[:, 0].numpy() == known).mean() > 0.9


def test_a_query_in_a_batch_gets_the_same_state_as_alone(trained: Generator) -> None:
    texts, vectors = ["colour1", "kind3 colour0 of", ""], torch.eye(TEXT)[[4, 7, 9]]
    together = trained.encode_queries(Words.read(texts), vectors)
    for row, text in enumerate(texts):
        alone = trained.encode_queries(Words.read([text]), vectors[row : row + 1])
        torch.testing.assert_close(together.last[row], alone.last[0])


def test_queries_hold_some_words_of_their_items_and_half_of_them_the_text_vector() -> None:
    model = build()
    queries = draw_queries(model.items, np.array([3, 8]), 400, np.random.default_rng(0))
    all_words = {item: set(Words.read([describe(item)]).numbers.tolist()) for item in (3, 8)}
    counts = queries.words.offsets.diff()
    for item, words in zip(queries.items.tolist(), torch.split(queries.words.numbers, counts.tolist()), strict=True):
        assert len(set(words.tolist())) == len(words)
        assert set(words.tolist()) <= all_words[item]
    assert set(counts.tolist()) == {1, 2, 3, 4, 5}
    assert set(queries.items.tolist()) == {3, 8}
    has_text = queries.text.any(dim=1)
    assert 0.4 < has_text.float().mean() < 0.6
    assert torch.equal(queries.text[has_text], model.items.text[queries.items[has_text]])


def test_an_item_without_words_is_described_by_its_text_vector() -> None:
    model = build()
    model.items.set_words(Words.read(["", *map(describe, range(1, ITEMS))]))
    queries = draw_queries(model.items, np.array([0]), 50, np.random.default_rng(0))
    assert torch.equal(queries.text, torch.eye(TEXT)[:1].expand(50, -1))
    assert not len(queries.words.numbers)


def test_a_design_that_knows_no_texts_reads_no_queries() -> None:
    model = build_generator(shrink(Design()))
    assert "items.query" not in model.state_dict()
    with pytest.raises(ValueError, match="cannot read texts"):
        model.encode_queries(Words.read(["kind3"]), torch.zeros(1, 0))
