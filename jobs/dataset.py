"""Samples, histories and catalogue of a day as arrays: what train, evaluate and recommend start from."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch
from numpy.typing import NDArray

from jobs.behaviour import EVENTS, Items, distinct, load_histories, load_rates
from jobs.catalogue import current_vectors, semantic_ids
from jobs.lake import Lake
from jobs.settings import Settings
from models.ranker import gsu
from models.ranker.design import Design
from models.ranker.found import Found
from models.ranker.histories import Histories
from models.ranker.model import Ranker
from models.ranker.rates import Rates
from models.ranker.samples import Samples, find, gathered

TASKS = ("click", "purchase", "like")
KEY = ("sample_id", "user_id", "item_id", "ts", "history_until", "request_id", "day")
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue(Items):
    """Items with what is known of each.

    vectors     [items, dim] that the GSU compares, 0 where there is none
    codes       [items, 3], -1: none
    categories  [items], -1: none
    """

    vectors: torch.Tensor
    codes: torch.Tensor
    codebook_version: str
    categories: torch.Tensor


@dataclass(frozen=True)
class Rows:
    """Samples with the arrays that search and slices need; what one may know ends strictly before `until`."""

    user: Ints
    target: Ints
    until: Ints
    end: Ints
    length: Ints
    ts: Ints
    labels: NDArray[np.float32]

    def take(self, keep: NDArray[np.bool_] | Ints) -> "Rows":
        return Rows(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Dataset:
    catalogue: Catalogue
    users: pa.Array
    histories: Histories
    rates: Callable[[str], Rates]  # of a task
    exposed: Callable[[], Histories]  # with what users were shown
    tasks: tuple[str, ...]
    train: Rows
    test: Rows
    split: str


def load_catalogue(lake: Lake, settings: Settings, encoder_version: str, codebook_version: str) -> Catalogue:
    """Every item that silver.items or the logs know."""
    rows = lake.arrow("silver.items", ["item_id", "category"])
    known = rows["item_id"]
    seen = [pc.unique(batch["item_id"]) for batch in lake.batches("silver.events", ["item_id"])]
    ids = distinct([*known.chunks, *seen])
    embedded, vectors = current_vectors(lake, encoder_version)
    dim = min(settings.ranker.gsu_dim, *vectors.shape) if len(embedded) else settings.ranker.gsu_dim
    full = torch.zeros(len(ids), dim)
    if embedded:
        place = torch.tensor(pc.index_in(pa.array(embedded), ids).to_numpy(), dtype=torch.int64)
        full[place] = gsu.pca(torch.from_numpy(vectors), dim)
    codes = load_codes(lake, ids, codebook_version)
    return Catalogue(ids, full, codes, codebook_version, _categories(ids, rows))


def _categories(ids: pa.Array, rows: pa.Table) -> torch.Tensor:
    """Number [items] of each item's narrowest category, -1: it has none."""
    named = rows.filter(pc.greater(pc.list_value_length(rows["category"]), 0))
    narrowest = pa.array([names[-1] for names in named["category"].to_pylist()], pa.string())
    found = torch.full((len(ids),), -1, dtype=torch.int64)
    place = torch.tensor(pc.index_in(named["item_id"], ids).to_numpy(), dtype=torch.int64)
    found[place] = torch.from_numpy(
        pc.fill_null(pc.index_in(narrowest, distinct([narrowest])), -1).to_numpy().copy()
    ).long()
    return found


def load_codes(lake: Lake, ids: pa.Array, codebook_version: str) -> torch.Tensor:
    """Codes [items, 3] of the items in a codebook version, -1 where an item has none."""
    coded, codes = semantic_ids(lake, codebook_version)
    full = torch.full((len(ids), 3), -1, dtype=torch.int64)
    rows = pc.index_in(pa.array(coded, pa.string()), ids)
    inside = pc.is_valid(rows).to_numpy(zero_copy_only=False)
    full[torch.tensor(rows.drop_null().to_numpy(), dtype=torch.int64)] = torch.from_numpy(codes[inside])
    return full


def load_dataset(lake: Lake, settings: Settings, catalogue: Catalogue, day: date) -> Dataset:
    """The day's test rows, the rows before it to train on, and all histories up to the day."""
    first = day - timedelta(days=settings.logs.train_days)
    where = (ds.field("day") >= first) & (ds.field("day") <= day)
    table = lake.arrow("gold.samples", [*KEY, *TASKS], where)
    table = table.sort_by([("ts", "ascending"), ("sample_id", "ascending")])
    users, histories = load_histories(lake, settings, catalogue, day, table["user_id"])
    tasks = tuple(task for task in TASKS if table[task].null_count < table.num_rows)
    test, split = _split(table, settings, day)
    rows = rows_of(table, users, catalogue, histories, tasks)
    rates = cache(partial(load_rates, lake, settings, users, catalogue, day))
    exposed = cache(lambda: load_histories(lake, settings, catalogue, day, users, shown=True)[1])
    return Dataset(catalogue, users, histories, rates, exposed, tasks, rows.take(~test), rows.take(test), split)


def found_for(
    data: Dataset, rows: Rows, settings: Settings, design: Design, vectors: torch.Tensor
) -> tuple[Histories, Ints, Found]:
    """The histories that the design looks at, where they end for each row, and what its search finds."""
    histories, end = data.histories, rows.end
    if EVENTS["impression"] in dict(design.lists):
        histories = data.exposed()
        end = histories.ends(rows.user, rows.until)
    found = find(
        design, histories, rows.user, rows.target, end, vectors=vectors,
        categories=data.catalogue.categories.to(vectors.device),
        max_history=settings.ranker.max_history,
    )  # fmt: skip
    return histories, end, found


def searched(
    data: Dataset,
    rows: Rows,
    settings: Settings,
    design: Design,
    *,
    vectors: torch.Tensor | None = None,
    task: str | None = None,
) -> Samples:
    """The rows with what the design's search finds for each, and running rates.

    vectors  what the search compares, see `looked_at`; by itself the catalogue's
    task     whose rates; by itself those of the main one
    """
    vectors = data.catalogue.vectors if vectors is None else vectors
    histories, end, found = found_for(data, rows, settings, design, vectors)
    rates = data.rates(task or data.tasks[0]).at(rows.user, rows.target, rows.until)
    return gathered(design, histories, found, rows.user, rows.target, end, rows.ts, rows.labels, rates)


def looked_at(model: Ranker, catalogue: Catalogue) -> torch.Tensor:
    """The vectors [items, dim] that the model's search compares, on its device."""
    own = model.design.search == "id_embedding"
    return model.searched[:-1] if own else catalogue.vectors.to(model.known.device)


def _split(samples: pa.Table, settings: Settings, day: date) -> tuple[NDArray[np.bool_], str]:
    """Which rows are the test: the day's own, or the last requests of logs that fit in one day."""
    days = samples["day"].to_numpy()
    split = settings.logs.split
    if split == "auto":
        split = "request" if set(np.unique(days)) == {np.datetime64(day)} else "day"
    if split == "day":
        return days == np.datetime64(day), split
    request = pc.coalesce(samples["request_id"], samples["sample_id"])
    order = pc.index_in(request, pc.unique(request)).to_numpy()  # samples are in time order: so are requests
    return order >= (order.max(initial=-1) + 1) * (1 - settings.logs.test_share), split


def rows_of(samples: pa.Table, users: pa.Array, items: Items, histories: Histories, tasks: tuple[str, ...]) -> Rows:
    """Samples as indices of their users and items, with where their histories end."""

    def micros(name: str) -> Ints:
        return np.asarray(samples[name].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy())

    user = pc.index_in(samples["user_id"], users).to_numpy().astype(np.int64)
    until = micros("history_until")
    end = histories.ends(user, until)
    labels = [samples[t].cast(pa.float32()).to_numpy(zero_copy_only=False) for t in tasks]
    matrix = np.stack(labels, axis=1) if labels else np.zeros((len(user), 0), np.float32)
    length = histories.lengths(user, end)
    return Rows(user, items.index(samples["item_id"]), until, end, length, micros("ts"), matrix)
