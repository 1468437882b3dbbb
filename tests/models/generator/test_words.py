"""Words of item texts, and the vectors that the generator makes of them."""

import math
from dataclasses import replace

import pytest
import torch

from models.generator import PRESETS
from models.generator.words import Words, split
from tests.models.generator.toy import build_generator, shrink


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("OPI Nail-Lacquer, 0.5oz", ["opi", "nail", "lacquer", "0", "5oz"]),
        ("Émail rouge Ж", ["émail", "rouge", "ж"]),
        ("红色马克杯 set", ["红色", "色马", "马克", "克杯", "set"]),
        ("杯 & ...", ["杯"]),
        ("हिन्दी किताब। தமிழ்", ["हिन्दी", "किताब", "தமிழ்"]),
        ("cre\u0300me \uff52\uff45\uff44", ["crème", "red"]),
        ("", []),
    ],
)
def test_a_text_is_split_into_words(text: str, words: list[str]) -> None:
    assert split(text) == words


def test_a_word_has_one_number_in_all_texts_and_counts_once() -> None:
    words = Words.read(["red mug", "", "Mug mug blue"])
    assert words.offsets.tolist() == [0, 2, 2, 4]
    shared = set(words.numbers[:2].tolist()) & set(words.numbers[2:].tolist())
    assert len(shared) == 1
    rarity = words.weigh()
    assert rarity[shared.pop()] == pytest.approx(math.log(3 / 2))
    assert rarity.sum() == pytest.approx(math.log(3 / 2) + 2 * math.log(3))


def test_words_of_chosen_texts() -> None:
    words = Words.read(["a b", "", "c"])
    taken = words.take(torch.tensor([2, -1, 0, 1, 0]))
    assert taken.offsets.tolist() == [0, 1, 1, 3, 3, 5]
    assert taken.numbers.tolist() == [*words.numbers[2:], *words.numbers[:2], *words.numbers[:2]]


def test_texts_that_share_rare_words_have_similar_vectors() -> None:
    model = build_generator(replace(shrink(PRESETS["sidereal"]), inputs=("words",)))
    common = [f"item {number}" for number in range(45)]
    model.items.set_words(Words.read(["item zebra", "item zebra green", "item green", *common]))
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(model.items(torch.arange(48)), dim=1)
    assert vectors[0] @ vectors[1] > 0.4
    assert vectors[0] @ vectors[3] < 0.4
    assert model.items.is_described().all()
    with pytest.raises(ValueError, match="words of 2 texts, expected 48"):
        model.items.set_words(Words.read(["a", "b"]))
