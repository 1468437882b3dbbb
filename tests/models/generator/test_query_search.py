"""Three lists for a text, and how they are joined."""

import pytest
import torch

from models.generator import PRESETS, Design, Generator
from models.generator.query_search import find_lists, join_lists, score_by_text, score_by_words
from models.generator.words import Words
from tests.models.generator.toy import ITEMS, TEXT, build_generator, shrink

TEXTS = ["red mug", "red enamel mug", "blue mug", *[f"thing{n}" for n in range(3, ITEMS)]]
ALL = torch.ones(ITEMS, dtype=torch.bool)


def build(design: Design = PRESETS["sidereal"]) -> Generator:
    model = build_generator(shrink(design))
    if "words" in model.design.inputs:
        model.items.set_words(Words.read(TEXTS))
    return model.eval()


def test_words_and_text_score_as_the_cosine_of_their_vectors() -> None:
    items, texts = build().items, Words.read(TEXTS)
    query, vector = Words.read(["Red MUG!"]), torch.nn.functional.normalize(torch.rand(1, TEXT))
    vectors = torch.from_numpy(texts.tf_idf().toarray())  # the first text has the same words as the query
    torch.testing.assert_close(score_by_words(items.all_words(), items.rarity, query), vectors @ vectors[0])
    torch.testing.assert_close(score_by_text(items, vector), items.text[:-1] @ vector[0])


def test_lists_hold_only_listed_items_and_only_those_with_a_likeness() -> None:
    is_listed = ALL.clone()
    is_listed[0] = False
    lists = find_lists(build(), Words.read(["red mug"]), torch.zeros(1, TEXT), is_listed, beam=64)
    assert lists["words"] == [1, 2]
    assert lists["text"] == []
    assert set(lists["generator"]) == set(range(1, ITEMS))


def test_a_model_without_words_lists_by_its_generator_and_text_vectors() -> None:
    model = build(Design(("id", "text"), ("items",)))
    lists = find_lists(model, Words.read(["red mug"]), torch.eye(TEXT)[3:4], ALL, beam=8)
    assert lists["words"] == []
    assert lists["text"] == [3]
    assert lists["generator"]


def test_an_item_in_two_lists_comes_before_the_first_of_one() -> None:
    joined = join_lists({"generator": [7, 5], "words": [9, 5], "text": []}, k=2)
    assert [item for item, _ in joined] == [5, 7]
    assert [score for _, score in joined] == pytest.approx([2 / 12, 1 / 11])
