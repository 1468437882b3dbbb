"""Training whose rows are split over processes, perhaps of several machines. Each process keeps its rows in a file."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.torch import save as to_bytes

from models.arrays_in_files import file_backed_zeros
from models.distributed import process_group
from models.precision import device
from models.ranker.model import Ranker
from models.ranker.samples import Samples
from models.ranker.saved import load, save
from models.ranker.training import FitOptions, fit_rows
from models.ranker.training_rows import TrainingRows

PLAN, MODEL = "plan.json", "model"
CURVE, DIVERGED, WEIGHTS = "curve", "diverged", "weights"  # kinds of results
BYTES_AT_ONCE = 1 << 26  # of rows or weights, to limit memory
Column = tuple[str, str, tuple[int, ...]]  # name, type and shape of a field of a record


@dataclass(frozen=True)
class Plan:
    """What is trained, beside the model and the rows.

    rows        number of rows of all processes
    train_rows  the first `train_rows` rows are trained on; the others measure the epochs
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
    return [(name, values.dtype.str, values.shape[1:]) for name, values in data.columns().items()]


def record_type(columns: Iterable[Column]) -> np.dtype[np.void]:
    """The type of records with these fields."""
    return np.dtype([(name, kind, tuple(shape)) for name, kind, shape in columns], align=True)


def build_records(data: Samples, places: NDArray[np.int64]) -> NDArray[np.void]:
    """The given rows as records [places]."""
    records = np.zeros(len(places), record_type(describe_records(data)))
    for name, values in data.columns().items():
        records[name] = values[places]
    return records


def train_part(
    folder: Path, batches: Iterable[pa.RecordBatch], index: int, count: int, find_address: Callable[[], str]
) -> Iterator[pa.RecordBatch]:
    """Be one process of a training.

    folder        that `Plan.save` wrote
    batches       `row`, numbers of rows, and `record`, their bytes: of W processes, process w has w, w + W, ...
    index, count  which process this is, and how many there are
    find_address  returns where the first process listens, in all processes
    returns       from the first process: `kind`, `number` and `content` of the training curve and of the weights
    """
    plan = Plan(**json.loads((folder / PLAN).read_text()))
    data = _store_records(plan, batches, index, count)
    numbers = np.arange(plan.rows)
    rows = TrainingRows(data, numbers[: plan.train_rows], numbers[plan.train_rows :], is_split=True)
    model = load(folder / MODEL).to(device())
    contents = list[tuple[str, bytes]]()
    with process_group(find_address(), index, count):
        try:
            curve = fit_rows(model, rows, **plan.options)
            if index == 0:
                contents = [(CURVE, json.dumps([asdict(point) for point in curve]).encode())]
                contents += [(WEIGHTS, part) for part in _split_bytes(to_bytes(model.cpu().state_dict()))]
        except FloatingPointError as error:  # all processes raise it
            contents = [(DIVERGED, str(error).encode())]
    if index == 0:
        for number, (kind, content) in enumerate(contents):
            yield pa.RecordBatch.from_pydict({"kind": [kind], "number": [number], "content": [content]})


def _store_records(plan: Plan, batches: Iterable[pa.RecordBatch], index: int, count: int) -> Samples:
    """The rows of this process, in order, in a file without a name.

    raises  RuntimeError if not all rows came
    """
    kind = record_type(plan.columns)
    stored = file_backed_zeros(len(range(index, plan.rows, count)), kind)
    is_stored = np.zeros(len(stored), bool)
    for batch in batches:
        places = batch["row"].to_numpy() // count
        stored[places] = _read_records(batch["record"], kind)
        is_stored[places] = True
    if not is_stored.all():
        raise RuntimeError(f"process {index} of {count} has {is_stored.sum()} of its {len(stored)} rows")
    return Samples(**{name: stored[name] for name, *_ in plan.columns})


def _read_records(column: pa.BinaryArray, kind: np.dtype[np.void]) -> NDArray[np.void]:
    """The records whose bytes these are, without a copy."""
    _, ends, content = column.buffers()
    first, last = np.frombuffer(ends, np.int32)[[column.offset, column.offset + len(column)]]
    return np.frombuffer(content[first:last], kind)


def _split_bytes(content: bytes) -> list[bytes]:
    return [content[start : start + BYTES_AT_ONCE] for start in range(0, len(content), BYTES_AT_ONCE)]
