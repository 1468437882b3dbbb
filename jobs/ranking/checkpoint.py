"""A training's checkpoint in the lake, `<LAKE>/models/unfinished/<day>/`: a retry goes on from the last epoch."""

import hashlib
import sys
import uuid
from dataclasses import dataclass, fields
from datetime import date
from typing import Self

import numpy as np
import pyarrow.fs as pafs

from jobs.lake import Lake
from jobs.ranking.settings import Ranker as Section
from models.ranker import Ranker, Samples
from models.ranker.checkpoint import FORMAT

DIGEST = 32  # bytes before the content


@dataclass(frozen=True)
class LakeCheckpoint:
    """A file below the address of a lake; one whose content is not what was written is none."""

    uri: str
    file: str

    @classmethod
    def of(cls, lake: Lake, day: date, model: Ranker, data: Samples, section: Section) -> Self:
        """Named after all that the weights come from: another start, other rows or settings, another file."""
        found = hashlib.sha256(f"{FORMAT} {section.model_dump_json()} {model.settings} {model.design}".encode())
        for tensor in model.state_dict().values():
            found.update(tensor.cpu().contiguous().numpy().tobytes())
        for column in fields(data):
            values = getattr(data, column.name)
            if values is not None:
                found.update(np.ascontiguousarray(values).data)
        return cls(lake.uri, f"models/unfinished/{day}/{found.hexdigest()[:16]}.safetensors")

    def read(self) -> bytes | None:
        store, root = pafs.FileSystem.from_uri(self.uri)
        if store.get_file_info(f"{root}/{self.file}").type == pafs.FileType.NotFound:
            return None
        with store.open_input_stream(f"{root}/{self.file}") as file:
            digest, content = file.read(DIGEST), bytes(file.read())
        if hashlib.sha256(content).digest() != digest:  # torn by a power cut
            return None
        print(f"goes on from the epochs in {self.file}", file=sys.stderr, flush=True)
        return content

    def write(self, content: bytes) -> None:
        store, root = pafs.FileSystem.from_uri(self.uri)
        store.create_dir(f"{root}/{self.file}".rpartition("/")[0], recursive=True)
        part = f"{root}/{self.file}.{uuid.uuid4().hex}"
        with store.open_output_stream(part) as file:
            file.write(hashlib.sha256(content).digest() + content)
        store.move(part, f"{root}/{self.file}")


def finish(lake: Lake) -> None:
    """Remove all checkpoints: the models of the day are stored, and no other day is being trained."""
    store, root = pafs.FileSystem.from_uri(lake.uri)
    folder = f"{root}/models/unfinished"
    if store.get_file_info(folder).type != pafs.FileType.NotFound:
        store.delete_dir(folder)
