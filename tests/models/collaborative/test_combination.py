"""One vector from text and behaviour: how much each part counts, and what new items get."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.collaborative import Combination, combine

ITEMS, TEXT, BEHAVIOUR = 300, 20, 8


def draw_parts(noise: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    """Text of large and behaviour of unit length. Behaviour depends on the text; the last third is unknown."""
    generator = torch.Generator().manual_seed(0)
    text = 50 + 10 * torch.randn(ITEMS, TEXT, generator=generator)
    behaviour = (text - 50) @ torch.randn(TEXT, BEHAVIOUR, generator=generator) / 10
    behaviour += noise * torch.randn(ITEMS, BEHAVIOUR, generator=generator)
    return text, normalize(behaviour, dim=1), torch.arange(ITEMS) < 200


def squared_distances(x: Tensor) -> float:
    return float((x - x.mean(dim=0)).square().sum(dim=1).mean())


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_each_part_counts_as_its_share_says_whatever_its_scale(share: float) -> None:
    text, behaviour, has_behaviour = draw_parts()
    combination = Combination.fit(text, behaviour, has_behaviour, behaviour_share=share)
    vectors = combination.apply(text, behaviour, has_behaviour)[has_behaviour]
    assert squared_distances(vectors[:, TEXT:]) == pytest.approx(share, rel=1e-4)
    assert squared_distances(vectors[:, :TEXT]) == pytest.approx(1 - share, rel=1e-4)


def test_the_text_predicts_the_behaviour_of_items_that_have_none() -> None:
    text, behaviour, has_behaviour = draw_parts()
    hidden = torch.where(has_behaviour.unsqueeze(1), behaviour, 0)
    new = combine(text, hidden, has_behaviour)[~has_behaviour, TEXT:]
    real = (behaviour - behaviour[has_behaviour].mean(dim=0))[~has_behaviour]
    assert torch.cosine_similarity(new, real).mean() > 0.9
    assert squared_distances(new) == pytest.approx(0.5, rel=0.2)


def test_what_an_unknown_item_holds_in_the_place_of_behaviour_does_not_matter() -> None:
    text, behaviour, has_behaviour = draw_parts()
    zeros = torch.where(has_behaviour.unsqueeze(1), behaviour, 0)
    assert torch.equal(combine(text, zeros, has_behaviour), combine(text, behaviour, has_behaviour))


def test_items_of_a_later_day_get_vectors_in_the_same_space() -> None:
    text, behaviour, has_behaviour = draw_parts()
    combination = Combination.fit(text[:250], behaviour[:250], has_behaviour[:250])
    everything = combination.apply(text, behaviour, has_behaviour)
    torch.testing.assert_close(everything[:250], combine(text[:250], behaviour[:250], has_behaviour[:250]))
    later = slice(250, ITEMS)
    torch.testing.assert_close(
        combination.apply(text[later], behaviour[later], has_behaviour[later]), everything[later]
    )


def test_a_text_that_says_nothing_about_behaviour_still_gives_finite_vectors() -> None:
    rng = np.random.default_rng(0)
    text = torch.from_numpy(rng.normal(size=(30, 100))).float()  # more dimensions than items
    behaviour = normalize(torch.from_numpy(rng.normal(size=(30, BEHAVIOUR))).float(), dim=1)
    assert combine(text, behaviour, torch.arange(30) < 20).isfinite().all()


def test_parts_that_cannot_be_combined_are_refused() -> None:
    text, behaviour, has_behaviour = draw_parts()
    with pytest.raises(ValueError, match="fewer than two items"):
        combine(text, behaviour, torch.zeros_like(has_behaviour))
    with pytest.raises(ValueError, match="are equal"):
        combine(torch.ones_like(text), behaviour, has_behaviour)
