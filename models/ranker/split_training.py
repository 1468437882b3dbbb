"""Training whose rows are split over processes, perhaps of several machines. Each process keeps its rows in a file.

A process is a task of a barrier stage of Spark, which starts all tasks at once. There they learn each other's address.
"""

import json
import socket
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import BarrierTaskContext
from safetensors.torch import save as to_bytes

from models.arrays_in_files import file_backed_zeros
from models.distributed import join_workers
from models.precision import device
from models.ranker.model import Ranker
from models.ranker.samples import Samples
from models.ranker.saved import load, save
from models.ranker.training import FitOptions, fit_rows
from models.ranker.training_rows import TrainingRows

PLAN, MODEL = "plan.json", "model"
CURVE, DIVERGED, WEIGHTS = "curve", "diverged", "weights"  # kinds of results
RESULT_SCHEMA = pa.schema({"kind": pa.string(), "number": pa.int32(), "content": pa.binary()})
BYTES_AT_ONCE = 1 << 26  # of the weights in a row of the result: Arrow and Spark limit the bytes of a message
Column = tuple[str, str, tuple[int, ...]]  # name, type and shape of a field of a record


@dataclass(frozen=True)
class Plan:
    """What is trained, beside the model and the rows.

    rows        number of rows of all processes
    train_rows  so many of them, the first, are trained on; the others measure the epochs
    columns     of a record, see `describe_records`
    options     of `fit_rows`
    """

    rows: int
    train_rows: int
    columns: list[Column]
    options: FitOptions

    def save(self, model: Ranker, folder: Path) -> None:
        """Write the plan and the model to train into an empty folder."""
        (folder / MODEL).mkdir()
        save(model, folder / MODEL)
        (folder / PLAN).write_text(json.dumps(asdict(self)))


def describe_records(data: Samples) -> list[Column]:
    """The fields of a record, which holds one row of samples."""
    columns = {field.name: getattr(data, field.name) for field in fields(data)}
    return [(name, values.dtype.str, values.shape[1:]) for name, values in columns.items() if values is not None]


def record_type(columns: Iterable[Column]) -> np.dtype[np.void]:
    """The type of records with these fields."""
    return np.dtype([(name, kind, tuple(shape)) for name, kind, shape in columns], align=True)


def build_records(data: Samples, places: NDArray[np.int64]) -> NDArray[np.void]:
    """The given rows as records [places]."""
    records = np.zeros(len(places), record_type(describe_records(data)))
    assert records.dtype.names is not None
    for name in records.dtype.names:
        records[name] = getattr(data, name)[places]
    return records


def train_part(folder: Path, batches: Iterable[pa.RecordBatch], task: BarrierTaskContext) -> Iterator[pa.RecordBatch]:
    """Be one process of a training.

    folder   that `Plan.save` wrote
    batches  `row`, numbers of rows, and `record`, their bytes: of W processes, process w has the rows w, w + W, ...
    returns  from the first process: rows of RESULT_SCHEMA, the training curve and the weights
    """
    plan = Plan(**json.loads((folder / PLAN).read_text()))
    infos, index = task.getTaskInfos(), task.partitionId()
    data = _store_records(plan, batches, index, len(infos))
    numbers = np.arange(plan.rows)
    rows = TrainingRows(data, numbers[: plan.train_rows], numbers[plan.train_rows :], is_split=True)
    model = load(folder / MODEL).to(device())
    port = task.allGather(str(_find_free_port()))[0]
    host = infos[0].address.rpartition(":")[0]
    with join_workers(f"{host}:{port}", index, len(infos)):
        try:
            curve = fit_rows(model, rows, **plan.options)
            contents = [(CURVE, json.dumps([asdict(point) for point in curve]).encode())]
            contents += [(WEIGHTS, part) for part in _split_bytes(to_bytes(model.cpu().state_dict()))]
        except FloatingPointError as error:  # all processes raise it
            contents = [(DIVERGED, str(error).encode())]
    if index == 0:
        for number, (kind, content) in enumerate(contents):
            yield pa.RecordBatch.from_pydict({"kind": [kind], "number": [number], "content": [content]}, RESULT_SCHEMA)


def _store_records(plan: Plan, batches: Iterable[pa.RecordBatch], index: int, count: int) -> Samples:
    """The rows of this process, in order, in a file without a name."""
    kind = record_type(plan.columns)
    stored = file_backed_zeros(len(range(index, plan.rows, count)), kind)
    received = 0
    for batch in batches:
        places = batch["row"].to_numpy() // count
        stored[places] = np.frombuffer(b"".join(batch["record"].to_pylist()), kind)
        received += len(places)
    if received != len(stored):
        raise RuntimeError(f"process {index} of {count} has {received} of its {len(stored)} rows")
    return Samples(**{name: stored[name] for name, *_ in plan.columns})


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _split_bytes(content: bytes) -> list[bytes]:
    return [content[start : start + BYTES_AT_ONCE] for start in range(0, len(content), BYTES_AT_ONCE)]
