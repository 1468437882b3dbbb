"""The items that a language model writes: only items of the catalogue, whatever the batches."""

import numpy as np
import torch
from transformers import GenerationConfig

from models.generator.language_model import CodeLanguageModel
from models.generator.language_model_lists import generate
from models.generator.trie import CodeTrie
from tests.models.generator import shop
from tests.models.generator.shop import PROMPTS, score_items, with_codes

NOBODY = np.zeros(len(PROMPTS) + 1, np.int64), np.zeros(0, np.int64)


def live_codes() -> torch.Tensor:
    """Most paths lead nowhere: items 3 and 4 have no codes."""
    codes = shop.code_tensor()
    codes[[3, 4]] = -1
    return codes


def random_model() -> CodeLanguageModel:
    return with_codes(shop.lm())


def test_no_code_path_without_an_item_is_ever_generated() -> None:
    for beam in (1, 2, 50):
        beams = generate(
            random_model(), CodeTrie.build(live_codes()), PROMPTS, beam=beam, tokens_per_batch=99, excluded=NOBODY
        )
        live = {*range(shop.N)} - {3, 4}
        for row in beams.items.tolist():
            items = [item for item in row if item >= 0]
            assert len(set(items)) == len(items) == min(beam, len(live))
            assert set(items) <= live


def test_a_wide_beam_finds_what_scoring_every_item_finds() -> None:
    """In a catalogue in which every path has an item, probabilities are shared among all codes of a level."""
    model = random_model()
    codes = torch.cartesian_prod(*(torch.arange(size) for size in model.sizes))
    beams = generate(model, CodeTrie.build(codes), PROMPTS, beam=len(codes), tokens_per_batch=99, excluded=NOBODY)
    best = score_items(model, PROMPTS, codes).sort(descending=True, stable=True)
    assert beams.items.equal(best.indices)
    torch.testing.assert_close(beams.scores, best.values, atol=1e-4, rtol=1e-4)


def test_batches_and_excluded_items_of_others_change_no_list() -> None:
    trie, model = CodeTrie.build(live_codes()), random_model()
    excluded = np.array([0, 2, 2, 3]), np.array([0, 5, 8])
    together = generate(model, trie, PROMPTS, beam=9, tokens_per_batch=10_000, excluded=excluded)
    one_by_one = generate(model, trie, PROMPTS, beam=9, tokens_per_batch=1, excluded=excluded)
    assert together.items.equal(one_by_one.items)
    torch.testing.assert_close(together.scores, one_by_one.scores, atol=1e-4, rtol=1e-4)
    for user, seen in enumerate(([0, 5], [], [8])):
        assert not {*seen} & {*together.items[user].tolist()}


def test_an_empty_catalogue_gives_empty_lists() -> None:
    trie = CodeTrie.build(torch.full((shop.N, 3), -1))
    assert generate(random_model(), trie, PROMPTS, beam=2, tokens_per_batch=99, excluded=NOBODY).items.eq(-1).all()


def test_settings_for_sampling_in_the_folder_of_a_model_change_nothing() -> None:
    model, trie = random_model(), CodeTrie.build(live_codes())
    lists = generate(model, trie, PROMPTS, beam=4, tokens_per_batch=99, excluded=NOBODY)
    model.model.generation_config = GenerationConfig(do_sample=True, temperature=5.0, top_k=1, top_p=0.1)  # type: ignore[no-untyped-call]  # transformers: no types
    again = generate(model, trie, PROMPTS, beam=4, tokens_per_batch=99, excluded=NOBODY)
    assert again.items.equal(lists.items)
    assert again.scores.equal(lists.scores)
