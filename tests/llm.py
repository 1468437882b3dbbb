"""A language model of a few thousand random weights, its tokenizer, and rows for it."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from models.encoder.segments import Batch, collate

VOCABULARY, EMBS = 97, 3
Questions = list[tuple[list[int], list[int]]]


def tiny_llm(seed: int = 0) -> Qwen3ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        initializer_range=0.3,  # far from uniform attention
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(config)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer in which the word w7 is token 7; w96 ends a text."""
    words = Tokenizer(WordLevel({f"w{token}": token for token in range(VOCABULARY)}, unk_token="w0"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0", eos_token="w96")  # type: ignore[no-untyped-call]  # no types


def rows(seed: int = 0) -> tuple[list[list[int]], list[Questions]]:
    """Inputs and questions of random lengths; the third item has no questions."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 20, (4, 5), generator=generator).tolist()

    def words(length: int) -> list[int]:
        tokens: list[int] = torch.randint(1, VOCABULARY, (length,), generator=generator).tolist()
        return tokens

    inputs = [words(row[0]) for row in lengths]
    questions = [[(words(row[k]), words(row[k + 1])) for k in (1, 3)] for row in lengths]
    questions[2] = []
    return inputs, questions


def packed(inputs: Sequence[list[int]], questions: Sequence[Questions] | None) -> Batch:
    return collate(inputs, questions, embs=EMBS, max_input=99, max_questions=99)
