"""A toy catalogue for language models: items in a ring that users walk along, their codes and texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from models.generator.language_model import CodeLanguageModel
from models.generator.language_model_files import load_tunable
from models.generator.language_model_tokens import CodeTokens
from models.generator.task_data import TaskData
from models.ranker.histories import Histories
from tests.scripted_lm import tokenizer

COLOURS, THINGS = ("red", "blue", "green", "black"), ("mug", "lamp", "chair")
N = 12
SIZES = (3, 4, 2)  # codes of each level
PROMPTS = [[5, 30, 31, 7], [9, 8, 7, 6, 5, 4, 3], [30]]
PHRASES = (  # of the templates and of JSON: as whole tokens, they make rows short
    "A user chose these items, oldest first: ", "A user chose items with these titles, oldest first: ",
    "\nWhich item does the user choose next?", "\nWhich item is it?", "An item: ", "\nIt is one of these:", "\n- ",
    "\nWhat is its title?", "\nWhat kind of item does the user prefer now?", "A user searches for ", "\nIs it ",
    "A user chose no item yet.\nWhich item does the user choose first?", "?\nAnswer:", "\nAnswer:", " Yes", " No",
    '{"title": "', '", "category": "', '"}', '"; "', "home / ",
)  # fmt: skip
WORDS = tokenizer([*COLOURS, *THINGS, *PHRASES])


def codes() -> NDArray[np.int64]:
    """Level a is the thing, level b the colour; items 0 and 1 share them and differ in level c."""
    table = np.array([[item % 3, item % 4, 0] for item in range(N)])
    table[1] = [0, 0, 1]
    return table


def items() -> list[dict[str, Any]]:
    return [
        {"title": f"{COLOURS[i % 4]} {THINGS[i % 3]}", "category": ["home", THINGS[i % 3]], "attributes": None}
        for i in range(N)
    ]


def histories(users: int = 30, length: int = 6) -> Histories:
    """User u starts at item u % N and takes one item after the other, in the order of the ring."""
    user, step = np.divmod(np.arange(users * length), length)
    return Histories.from_arrays(user, ((user + step) % N).astype(np.int32), step, users)


def data(**changes: Any) -> TaskData:
    walked = changes.pop("histories", histories())
    parts = {"codes": codes(), "items": items(), "histories": walked, "ends": walked.offsets[1:]} | changes
    return TaskData(**parts)


def code_tensor() -> torch.Tensor:
    return torch.from_numpy(codes())


def lm() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512, initializer_range=0.1,
    )  # fmt: skip
    model: LlamaForCausalLM = LlamaForCausalLM(config)
    return model


def save_lm(folder: Path) -> Path:
    """Save a random language model and its tokenizer. returns the folder"""
    lm().save_pretrained(folder)
    WORDS.save_pretrained(folder)
    return folder


def with_codes(model: PreTrainedModel) -> CodeLanguageModel:
    """The model with random tokens for the codes."""
    wrapped = CodeLanguageModel(model, SIZES).eval().requires_grad_(False)
    torch.manual_seed(2)
    for rows in {wrapped.input_rows, wrapped.output_rows}:
        torch.nn.init.normal_(rows, std=0.3)
    return wrapped


def tunable(folder: Path, *, rank: int | None, bf16: bool = False) -> tuple[CodeLanguageModel, CodeTokens]:
    """The model of a folder, ready to be trained on the catalogue."""
    model, tokenizer = load_tunable(str(folder), code_tensor(), data().texts, rank=rank, bf16=bf16, seed=0)
    return model, CodeTokens(tokenizer, model.vocabulary, codes(), model.sizes)


def score_items(model: CodeLanguageModel, prompts: Sequence[Sequence[int]], codes: Tensor) -> Tensor:
    """The log-probability of every item's codes [prompts, items]."""
    read = model.read_prompts(prompts)
    users = torch.arange(len(prompts), device=model.device).repeat_interleave(len(codes))
    paths = codes.repeat(len(prompts), 1).to(model.device)
    steps = [read.step(level, users, paths[:, :level]) for level in range(codes.shape[1])]
    logs = [step.gather(1, paths[:, [level]])[:, 0] for level, step in enumerate(steps)]
    return torch.stack(logs).sum(0).view(len(prompts), len(codes)).cpu()
