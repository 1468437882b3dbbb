"""The three-segment encoder: what answers can learn from, and that the fast way is the right way."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from models.encoder.attention import by_rows, dense, flex
from models.encoder.segments import Batch, collate
from models.encoder.three_segment import Encoded, ThreeSegmentEncoder
from models.encoder.weights import load, load_frozen, save

VOCABULARY, EMBS = 97, 3


def tiny(layers: int = 2) -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        initializer_range=0.3,  # far from uniform attention
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(config)


def tokens(length: int, seed: int) -> list[int]:
    return torch.randint(1, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def packed(seed: int = 0, rows: int = 5) -> Batch:
    """Rows of random lengths; one has no questions, one no input."""
    lengths = torch.randint(1, 20, (rows, 5), generator=torch.Generator().manual_seed(seed)).tolist()
    inputs = [tokens(row[0], seed + i) for i, row in enumerate(lengths)]
    questions = [[(tokens(row[k], i), tokens(row[k + 1], i)) for k in (1, 3)] for i, row in enumerate(lengths)]
    inputs[1], questions[2] = [], []
    return collate(inputs, questions, embs=EMBS, max_input=99, max_questions=999)
