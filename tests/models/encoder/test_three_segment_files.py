"""Which weights of a three-segment encoder are trained, and that a folder contains all of them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cosine_similarity
from transformers import AutoTokenizer

from models.encoder.item_reader import ItemReader
from models.encoder.sentence_embedder import SentenceEmbedder
from models.encoder.three_segment import ThreeSegmentEncoder
from models.encoder.three_segment_files import load, load_frozen, save
from tests.llm import EMBS, packed, rows, tiny_llm, tiny_tokenizer


def trained(rank: int | None, *, bf16: bool = False) -> ThreeSegmentEncoder:
    """An encoder after two steps: a fresh adapter does nothing, so a test could not see it."""
    encoder = ThreeSegmentEncoder(tiny_llm(), embs=EMBS, rank=rank, bf16=bf16)
    optimiser = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        out = encoder(packed(*rows()))
        (out.nll / out.answer_tokens).backward()
        optimiser.step()
    return encoder


def test_lora_trains_adapters_and_emb_rows_and_nothing_else() -> None:
    before = dict(tiny_llm().named_parameters())
    encoder = trained(rank=4)
    names = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert names == {"emb"} | {f"model.{name}" for name in encoder.model.state_dict() if ".lora_" in name}
    assert len(names) == 1 + 2 * 2 * 7  # two matrices beside each of seven layers, in each of two blocks
    for name, parameter in encoder.model.named_parameters():
        if ".lora_" not in name:
            assert parameter.equal(before[name.replace(".base_layer", "")])


def test_a_fresh_adapter_does_not_change_the_vectors() -> None:
    vectors = []
    for rank in (None, 4):
        model = tiny_llm()
        torch.manual_seed(1)  # of the <EMB> rows
        vectors.append(ThreeSegmentEncoder(model, embs=EMBS, rank=rank).embed(packed(*rows())))
    torch.testing.assert_close(vectors[0], vectors[1])


@pytest.mark.parametrize("rank", [None, 4])
def test_a_saved_encoder_is_loaded_to_the_same_vectors_and_the_same_losses(tmp_path: Path, rank: int | None) -> None:
    encoder = trained(rank)
    save(encoder, tmp_path, tiny_tokenizer())
    expected = encoder(packed(*rows()))
    for again in (load(str(tmp_path), rank=rank), load_frozen(str(tmp_path))):
        out = again(packed(*rows()))
        torch.testing.assert_close(out.vectors, expected.vectors)
        torch.testing.assert_close(out.nll, expected.nll)


@pytest.mark.parametrize("rank", [None, 4])
def test_an_encoder_trained_in_bf16_embeds_in_bf16(tmp_path: Path, rank: int | None) -> None:
    encoder = trained(rank, bf16=True)
    save(encoder, tmp_path, tiny_tokenizer())
    frozen = load_frozen(str(tmp_path), bf16=True)
    assert {parameter.dtype for parameter in frozen.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert {buffer.dtype for buffer in frozen.buffers()} == {torch.float32}  # rotary positions need it
    vectors = frozen.embed(packed(*rows()))
    assert vectors.dtype == torch.float32
    assert cosine_similarity(vectors, encoder.embed(packed(*rows()))).min() > 0.999


def test_a_folder_contains_model_tokenizer_and_weights_as_safetensors_only(tmp_path: Path) -> None:
    save(trained(rank=4), tmp_path, tiny_tokenizer())
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
        "encoder.safetensors",
    }
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors", ".jinja"}
    assert AutoTokenizer.from_pretrained(tmp_path)("w7 w9")["input_ids"] == [7, 9]


def test_a_plain_model_gets_new_emb_rows_but_cannot_embed_yet(tmp_path: Path) -> None:
    tiny_llm().save_pretrained(tmp_path)
    assert load(str(tmp_path), embs=5).emb.shape == (5, 32)
    with pytest.raises(ValueError, match="never trained to embed"):
        load_frozen(str(tmp_path))


def test_adapters_can_be_trained_further_at_their_rank_only(tmp_path: Path) -> None:
    save(trained(rank=4), tmp_path, tiny_tokenizer())
    for rank in (None, 8):
        with pytest.raises(ValueError, match="rank 4"):
            load(str(tmp_path), rank=rank)


def test_an_encoder_without_emb_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one <EMB>"):
        ThreeSegmentEncoder(tiny_llm(), embs=0)


def test_missing_weights_are_not_made_up(tmp_path: Path) -> None:
    trained(rank=None).model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 of its weights are not in its files, such as model\.norm\.weight"):
        load(str(tmp_path))


@pytest.mark.parametrize("images", ["", "."])
def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path, images: str) -> None:
    trained(rank=None).model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="tokenizer"):
        ItemReader(str(tmp_path), max_tokens=8, image_folder=images)
    with pytest.raises(ValueError, match="tokenizer"):
        SentenceEmbedder(str(tmp_path), max_tokens=8)
