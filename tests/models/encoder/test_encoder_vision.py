"""Images in the input segment of a vision-language model of a few thousand random weights."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.encoder.attention import dense_kernel
from models.encoder.segments import Batch, collate
from models.encoder.three_segment import ThreeSegmentEncoder
from models.encoder.three_segment_files import load, save
from tests.llm import tiny_tokenizer
from tests.vlm import IMAGE, tiny_vision

EMBS = 2
GRID = [[1, 4, 4], [1, 2, 6]]  # patches; four of them become one image token
PATCH = 3 * 2 * 4 * 4


def pixels() -> Tensor:
    patches = sum(time * height * width for time, height, width in GRID)
    return torch.randn(patches, PATCH, generator=torch.Generator().manual_seed(0))


def packed(images: Tensor, *, shown: slice = slice(0, 3)) -> Batch:
    """Three items; the second one has no image."""
    inputs = [[5, *[IMAGE] * 4, 6, 7], [8, 9], [*[IMAGE] * 3, 10]]
    questions = [[([11], [12, 13])], [([14], [15])], [([16], [17])]]
    grid = torch.tensor(GRID)
    return collate(inputs[shown], questions[shown], embs=EMBS, max_input=99, max_questions=99, pixels=images, grid=grid)


@pytest.mark.parametrize("rank", [None, 4])
def test_the_tower_is_frozen_and_projector_and_language_model_learn(rank: int | None) -> None:
    encoder = ThreeSegmentEncoder(tiny_vision(), embs=EMBS, rank=rank)
    encoder(packed(pixels())).nll.backward()
    for name, parameter in encoder.named_parameters():
        if ".visual." in name:
            assert (parameter.grad is not None) == ("merger" in name), name
        elif rank is None or ".lora_" in name:
            assert parameter.grad is not None, name
        else:
            assert parameter.requires_grad == (name == "emb"), name


def test_an_image_changes_the_vector_of_its_own_item_only() -> None:
    encoder = ThreeSegmentEncoder(tiny_vision(), embs=EMBS)
    other = pixels()
    other[:16] += 1  # the patches of the first image
    with torch.no_grad():
        before, after = encoder.embed(packed(pixels())), encoder.embed(packed(other))
    changed = (before - after).abs().amax(1)
    assert changed[0] > 1e-2
    assert (changed[1:] < 1e-5).all()


def test_the_vector_of_an_item_with_an_image_does_not_depend_on_its_batch() -> None:
    encoder = ThreeSegmentEncoder(tiny_vision(), embs=EMBS)
    both = packed(pixels())
    inputs = [[5, *[IMAGE] * 4, 6, 7]]
    alone = collate(inputs, embs=EMBS, max_input=99, pixels=pixels()[:16], grid=torch.tensor(GRID[:1]))
    with torch.no_grad():
        torch.testing.assert_close(encoder.embed(alone)[0], encoder.embed(both)[0], rtol=1e-4, atol=1e-5)


def test_image_tokens_are_where_the_model_itself_puts_them() -> None:
    """With an input share of 1 our hidden states equal those of the model's own forward pass over the same tokens."""
    model = tiny_vision()
    encoder = ThreeSegmentEncoder(model, embs=EMBS)
    tokens = [5, *[IMAGE] * 4, 6, 7]
    grid = torch.tensor(GRID[:1])
    batch = collate([tokens], embs=EMBS, max_input=99, pixels=pixels()[:16], grid=grid)
    with torch.no_grad():
        ours = encoder.states(batch, 1.0)
        ids = torch.tensor([tokens])
        kinds = (ids == IMAGE).int()
        plain = tiny_vision().model(
            input_ids=ids, mm_token_type_ids=kinds, pixel_values=pixels()[:16], image_grid_thw=grid
        )
    torch.testing.assert_close(ours[: len(tokens)], plain.last_hidden_state[0], rtol=1e-4, atol=1e-4)


def test_fast_and_reference_attention_agree_on_images_too() -> None:
    encoder, batch = ThreeSegmentEncoder(tiny_vision(), embs=EMBS), packed(pixels())
    out = encoder(batch)
    encoder.kernel = dense_kernel
    reference = encoder(batch)
    torch.testing.assert_close(out.vectors, reference.vectors, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(out.nll, reference.nll, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_saved_vision_language_encoder_is_loaded_to_the_same_vectors(tmp_path: Path, bf16: bool) -> None:
    encoder = ThreeSegmentEncoder(tiny_vision(), embs=EMBS, rank=4, bf16=bf16)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.add_(0.0501)
    save(encoder, tmp_path, tiny_tokenizer())
    again = load(str(tmp_path), rank=4, bf16=bf16)
    for (name, ours), parameter in zip(again.named_parameters(), encoder.parameters(), strict=True):
        assert ours.equal(parameter), name
    torch.testing.assert_close(again.embed(packed(pixels())), encoder.embed(packed(pixels())))


def test_text_without_images_is_embedded_too() -> None:
    encoder = ThreeSegmentEncoder(tiny_vision(), embs=EMBS)
    vectors = encoder.embed(collate([[5, 6], [7]], embs=EMBS, max_input=9))
    assert vectors.shape == (2, 32)
    assert vectors.isfinite().all()


def test_an_image_whose_tokens_were_cut_off_is_refused() -> None:
    encoder = ThreeSegmentEncoder(tiny_vision(), embs=EMBS)
    batch = collate([[*[IMAGE] * 4, 6]], embs=EMBS, max_input=3, pixels=pixels()[:16], grid=torch.tensor(GRID[:1]))
    with pytest.raises(ValueError, match="4 image tokens, the batch has 3"):
        encoder.embed(batch)
