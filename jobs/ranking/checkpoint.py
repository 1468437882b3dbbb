"""Checkpoints of a training, in `<LAKE>/models/unfinished/<day>/`: a retry resumes from the last epoch."""

import hashlib
import sys
import uuid
from dataclasses import dataclass, fields
from datetime import date
from typing import Self

import numpy as np
import pyarrow.fs as pafs

from jobs.lake import Lake
from jobs.ranking.settings import Ranker as RankerSettings
from models.ranker import Ranker, Samples
from models.training.checkpoint import FORMAT

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
    def for_training(cls, lake: Lake, day: date, model: Ranker, data: Samples, settings: RankerSettings) -> Self:
        """The checkpoint of this training.

        Its file name is a hash of everything that decides the weights: other initial weights, rows or settings have
        another file.
        """
        digest = hashlib.sha256(f"{FORMAT} {settings.model_dump_json()} {model.settings} {model.design}".encode())
        for tensor in model.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        for column in fields(data):
            values = getattr(data, column.name)
            if values is not None:
                digest.update(np.ascontiguousarray(values).data)
        return cls(lake.uri, f"models/unfinished/{day}/{digest.hexdigest()[:16]}.safetensors")

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


def remove_checkpoints(lake: Lake) -> None:
    """Remove all checkpoints. Call it when the models of the day are stored: no other day is in training then."""
    store, root = pafs.FileSystem.from_uri(lake.uri)
    folder = f"{root}/models/unfinished"
    if store.get_file_info(folder).type != pafs.FileType.NotFound:
        store.delete_dir(folder)
