"""Train a generator that is a language model, in this process or in several workers that share every batch.

    python -m torch.distributed.run --standalone --nproc-per-node 8 -m jobs.generation.language_model_worker <folder>

`generate` writes the folder and starts the workers.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from transformers import PreTrainedTokenizerBase

from jobs.generation.train_worker import list_arrays, read_histories
from jobs.lake import UserError
from jobs.runtime.checkpoint import Arrays
from jobs.runtime.train_workers import WorkerTraining
from jobs.runtime.workers import join_workers
from models.generator import language_model_files
from models.generator.language_model import CodeLanguageModel
from models.generator.language_model_tokens import CodeTokens
from models.generator.language_model_training import Epoch, Plan, fit
from models.generator.task_data import TaskData
from models.generator.tasks import PRESETS
from models.precision import fast_bfloat16
from models.ranker.histories import Histories, Int64s


class LanguageGenerator(nn.Module):
    """A language model with codes, and its tokenizer."""

    def __init__(self, model: CodeLanguageModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    def code_tokens(self, codes: Int64s) -> CodeTokens:
        """What turns prompts into token ids, for items with codes [items, levels]; -1 for an item without codes."""
        return CodeTokens(self.tokenizer, self.model.vocabulary, codes, self.model.sizes)


def save(generator: LanguageGenerator, folder: Path) -> None:
    """Write the model and its tokenizer into an existing folder."""
    language_model_files.save(generator.model, generator.tokenizer, folder)


def load(folder: Path) -> LanguageGenerator:
    """Load what `save` wrote, to train it further."""
    return LanguageGenerator(*language_model_files.load_saved(str(folder), bf16=fast_bfloat16()))


def list_training_arrays(
    histories: Histories, ends: Int64s, codes: Int64s, items: Sequence[Mapping[str, Any]]
) -> Arrays:
    """What the training reads, by name.

    codes  [items, levels]; -1 for an item without codes
    items  [items] title, category and attributes; they become bytes of JSON
    """
    texts = np.frombuffer(json.dumps(items).encode(), np.uint8)
    return list_arrays(histories, ends) | {"codes": codes, "texts": texts}


def read_task_data(arrays: Arrays) -> TaskData:
    """What the tasks are drawn from. raises ValueError if no item has codes"""
    items = json.loads(arrays["texts"].tobytes())
    return TaskData(np.asarray(arrays["codes"]), items, read_histories(arrays), arrays["ends"])


def fit_language_model(
    generator: LanguageGenerator, arrays: Arrays, name: str, *, preset: str, plan: dict[str, Any], **options: Any
) -> list[Epoch]:
    """Train a language model on the tasks of a preset.

    arrays   see `list_training_arrays`
    name     of the model, for the message
    plan     arguments of `Plan`
    options  `progress` and `checkpoint`
    raises   UserError that says what to do if training diverged
    """
    tokens, data = generator.code_tokens(arrays["codes"]), read_task_data(arrays)
    try:
        return fit(generator.model, tokens, data, PRESETS[preset], Plan(**plan), **options)
    except FloatingPointError as error:
        raise UserError(f"training {name} diverged ({error}): lower generator.language_model.lr") from None


TRAINING = WorkerTraining("jobs.generation.language_model_worker", save, load, fit_language_model, Epoch)

if __name__ == "__main__":
    with join_workers(TRAINING.module) as is_first_worker:
        TRAINING.run_worker(Path(sys.argv[1]), is_first_worker)
