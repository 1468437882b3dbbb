"""Checkpoints of a training, in `<LAKE>/models/unfinished/<job>/<day>/`: a retry resumes from the last epoch."""

import hashlib
import sys
import uuid
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import numpy as np
import pyarrow.fs as pafs
import torch
from numpy.typing import NDArray
from torch import nn

from jobs.lake import Lake
from models.training.checkpoint import FORMAT

Arrays = dict[str, NDArray[Any]]

DIGEST = 32  # bytes of the hash at the start of the file


@dataclass(frozen=True)
class LakeCheckpoint:
    """A file in the lake. A damaged file counts as missing.

    uri   address of the lake
    file  path below it
    """

    uri: str
    file: str

    @classmethod
    def for_training(cls, lake: Lake, job: str, day: date, model: nn.Module, arrays: Arrays, options: str) -> Self:
        """The checkpoint of this training.

        Its file name is a hash of everything that decides the weights: other initial weights, arrays or options have
        another file.

        arrays   what the model is trained on
        options  the settings of the training and of the model, as a text
        """
        digest = hashlib.sha256(f"{FORMAT} {options}".encode())
        for tensor in model.state_dict().values():
            digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)  # NumPy knows no bfloat16
        for values in arrays.values():
            digest.update(np.ascontiguousarray(values).data)
        return cls(lake.uri, f"models/unfinished/{job}/{day}/{digest.hexdigest()[:16]}.safetensors")

    def read(self) -> bytes | None:
        """The bytes of the last `write`; None if the file is missing or damaged."""
        store, root = pafs.FileSystem.from_uri(self.uri)
        if store.get_file_info(f"{root}/{self.file}").type == pafs.FileType.NotFound:
            return None
        with store.open_input_stream(f"{root}/{self.file}") as file:
            digest, content = file.read(DIGEST), bytes(file.read())
        if hashlib.sha256(content).digest() != digest:  # such as after a power cut
            return None
        print(f"training resumes from the epochs in {self.file}", file=sys.stderr, flush=True)
        return content

    def write(self, content: bytes) -> None:
        """Replace the file, completely or not at all."""
        store, root = pafs.FileSystem.from_uri(self.uri)
        store.create_dir(f"{root}/{self.file}".rpartition("/")[0], recursive=True)
        part = f"{root}/{self.file}.{uuid.uuid4().hex}"
        with store.open_output_stream(part) as file:
            file.write(hashlib.sha256(content).digest() + content)
        store.move(part, f"{root}/{self.file}")


def remove_checkpoints(lake: Lake, job: str) -> None:
    """Remove all checkpoints of a job. Call it when its models are stored: it trains no other day then."""
    store, root = pafs.FileSystem.from_uri(lake.uri)
    folder = f"{root}/models/unfinished/{job}"
    if store.get_file_info(folder).type != pafs.FileType.NotFound:
        store.delete_dir(folder)
