"""The folder of a language model with codes: what starts where, what is carried over, what is refused."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel

from models.encoder.three_segment import embeddings
from models.generator.language_model_files import load_saved, load_tunable, save
from tests.models.generator import shop


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shop.save_lm(tmp_path / "lm")


def test_a_code_starts_at_the_words_of_its_items(folder: Path) -> None:
    model, tokens = shop.tunable(folder, rank=None)
    things = embeddings(model.model).weight[tokens.tokenizer.convert_tokens_to_ids(list(shop.THINGS))]
    level = model.input_rows[:3]
    assert ((level - level.mean(0)) @ things.T).argmax(1).tolist() == [0, 1, 2]
    assert torch.unique(model.output_rows[:7], dim=0).shape[0] == 7


def test_a_refit_carries_the_tokens_of_codes_over_by_name(folder: Path, tmp_path: Path) -> None:
    model, tokens = shop.tunable(folder, rank=None)
    torch.nn.init.normal_(model.input_rows)
    save(model, tokens.tokenizer, tmp_path / "old")
    grown = torch.cat([shop.code_tensor(), torch.tensor([[0, 5, 2], [-1, -1, -1]])])
    texts = [*shop.data().texts, "a blue lamp", ""]
    again, _ = load_tunable(str(tmp_path / "old"), grown, texts, rank=None, bf16=False, seed=0)
    assert again.sizes == (3, 6, 3)
    tables = (model.input_rows, model.sizes), (again.input_rows, again.sizes)
    for old, new in zip(*(torch.split(rows, list(sizes)) for rows, sizes in tables), strict=True):
        assert new[: len(old)].equal(old)
        assert new.norm(dim=1).min() > 0
    fewer, _ = load_tunable(str(tmp_path / "old"), grown[:2], texts[:2], rank=None, bf16=False, seed=0)
    assert fewer.sizes == shop.SIZES  # codes without items today may have some tomorrow
    assert fewer.input_rows.equal(model.input_rows)
    two_levels, _ = load_tunable(str(tmp_path / "old"), grown[:, :2], texts, rank=None, bf16=False, seed=0)
    assert two_levels.input_rows[:7].equal(model.input_rows[:7])


@pytest.mark.parametrize("rank", [None, 2])
def test_a_saved_folder_gives_the_same_scores_in_either_number_type(
    folder: Path, tmp_path: Path, rank: int | None
) -> None:
    model, tokens = shop.tunable(folder, rank=rank)
    for name, parameter in model.named_parameters():
        if ".lora_B" in name:  # a fresh adapter does nothing
            torch.nn.init.normal_(parameter, std=0.1)
    save(model, tokens.tokenizer, tmp_path / "saved")
    scores = shop.score_items(model.eval(), shop.PROMPTS, shop.code_tensor())
    for bf16, tolerance in ((False, 1e-5), (True, 0.5)):
        saved, tokenizer = load_saved(str(tmp_path / "saved"), bf16=bf16)
        again = shop.score_items(saved.eval(), shop.PROMPTS, shop.code_tensor())
        torch.testing.assert_close(again, scores, atol=tolerance, rtol=0.05)
        assert len(tokenizer) == len(shop.WORDS)
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert names >= {"config.json", "tokenizer.json", "model.safetensors", "codes.safetensors"}
    assert {Path(name).suffix for name in names} <= {".json", ".safetensors", ".jinja"}


def test_a_folder_that_cannot_be_read_is_refused_with_a_sentence(folder: Path, tmp_path: Path) -> None:
    def refuse(source: Path, reason: str, rank: int | None = None) -> None:
        with pytest.raises(ValueError, match=f"{source.name} cannot be loaded as a language model: .*{reason}"):
            shop.tunable(source, rank=rank)

    refuse(tmp_path / "nothing", "")
    with pytest.raises(ValueError, match="never trained on codes"):
        load_saved(str(folder), bf16=False)
    model, tokens = shop.tunable(folder, rank=2)
    save(model, tokens.tokenizer, tmp_path / "lora")
    refuse(tmp_path / "lora", "adapters of rank 2", rank=3)
    (tmp_path / "lora" / "codes.safetensors").write_bytes(b"no")
    refuse(tmp_path / "lora", "header", rank=2)
    words = len(shop.WORDS)
    bert = BertConfig(vocab_size=words, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    BertLMHeadModel(bert).save_pretrained(tmp_path / "bert")
    gpt2 = GPT2Config(vocab_size=words, n_positions=512, n_embd=32, n_layer=1, n_head=2)
    GPT2LMHeadModel(gpt2).save_pretrained(tmp_path / "gpt2")
    for name in ("bert", "gpt2"):
        shop.WORDS.save_pretrained(tmp_path / name)
    refuse(tmp_path / "bert", "it reads texts in both directions")
    refuse(tmp_path / "gpt2", "set lora_rank = 0", rank=2)
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(
        config.replace('"max_position_embeddings": 512', '"max_position_embeddings": 99')
    )
    refuse(folder, "it reads 99 tokens at most, prompts need 256")
    (folder / "model.safetensors").write_bytes(b"")
    refuse(folder, "header")
    (folder / "config.json").write_text("[]")
    refuse(folder, "")
