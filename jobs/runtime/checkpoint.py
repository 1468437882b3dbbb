"""Unfinished work of a job, in `<LAKE>/models/unfinished/<job>/<day>/`: a retry goes on from there."""

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any, Self

import numpy as np
import pyarrow.fs as pafs
import torch
from numpy.typing import NDArray
from torch import nn

from jobs.lake import Lake
from jobs.lake.store import open_store, write_file
from models.training.checkpoint import FORMAT

Arrays = dict[str, NDArray[Any]]

DIGEST = 32  # bytes of the hash at the start of the file
SECONDS = 30.0  # from one checkpoint of a training to the next


def hash_inputs(description: str, arrays: Iterable[NDArray[Any]]) -> str:
    """A short hash of everything that decides a result: of a description, and of arrays."""
    digest = hashlib.sha256(description.encode())
    for values in arrays:
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class LakeFile:
    """A file in the lake. A damaged file counts as missing.

    root  address of the lake
    file  path below it
    """

    root: str
    file: str

    def exists(self) -> bool:
        store, root = open_store(self.root)
        return bool(store.get_file_info(f"{root}/{self.file}").type != pafs.FileType.NotFound)

    def read(self) -> bytes | None:
        """The bytes of the last `write`; None if the file is missing or damaged."""
        if not self.exists():
            return None
        store, root = open_store(self.root)
        with store.open_input_stream(f"{root}/{self.file}") as file:
            digest, content = file.read(DIGEST), bytes(file.read())
        is_whole = hashlib.sha256(content).digest() == digest  # not after a power cut, for example
        return content if is_whole else None

    def write(self, content: bytes) -> None:
        """Replace the file, completely or not at all."""
        store, root = open_store(self.root)
        write_file(store, f"{root}/{self.file}", hashlib.sha256(content).digest() + content)


@dataclass(frozen=True)
class LakeCheckpoint(LakeFile):
    """The state of a training after one of its last epochs."""

    seconds: float

    @classmethod
    def for_training(cls, lake: Lake, job: str, day: date, model: nn.Module, arrays: Arrays, options: str) -> Self:
        """The checkpoint of this training.

        Its file name is a hash of everything that decides the weights: other initial weights, arrays or options have
        another file.

        arrays   what the model is trained on
        options  the settings of the training and of the model, as a text
        """
        weights = (tensor.cpu().reshape(-1).view(torch.uint8).numpy() for tensor in model.state_dict().values())
        name = hash_inputs(f"{FORMAT} {options}", chain(weights, arrays.values()))  # bytes: NumPy knows no bfloat16
        return cls(lake.root, f"models/unfinished/{job}/{day}/{name}.safetensors", SECONDS)

    def read(self) -> bytes | None:
        content = super().read()
        if content is not None:
            print(f"training resumes from the epochs in {self.file}", file=sys.stderr, flush=True)
        return content


def remove_checkpoints(lake: Lake, job: str) -> None:
    """Remove all unfinished work of a job. Call it when its results are stored: it works on no other day then."""
    store, root = open_store(lake.root)
    folder = f"{root}/models/unfinished/{job}"
    if store.get_file_info(folder).type != pafs.FileType.NotFound:
        store.delete_dir(folder)
