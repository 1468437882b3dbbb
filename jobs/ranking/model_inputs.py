"""The inputs of a model for given rows: the events that its search finds, and their features."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.ranking.dataset import Dataset, Rows
from jobs.ranking.items import ItemFeatures
from jobs.settings.tree import Settings
from models.arrays_in_files import file_backed_zeros
from models.ranker.design import Design
from models.ranker.event_kinds import SHOWN_ONLY
from models.ranker.histories import Histories, Int64s
from models.ranker.lists import Search
from models.ranker.model import Ranker
from models.ranker.samples import Samples, build_samples, search_histories
from models.ranker.similar_rates import SimilarRates

EVENTS_AT_ONCE = 1 << 24  # most events searched at once, to limit memory


def build_model_inputs(
    dataset: Dataset,
    rows: Rows,
    settings: Settings,
    design: Design,
    *,
    vectors: torch.Tensor | None = None,
    task: str | None = None,
) -> Samples:
    """The rows with everything that the design reads, in arrays that need not fit in memory.

    vectors  what the search compares, see `search_vectors`; by default the vectors of the items
    task     whose running rates; by default the main task
    """
    vectors = dataset.items.vectors if vectors is None else vectors
    search = build_search(dataset.items, settings, design, vectors)
    inputs: Samples | None = None
    order = np.argsort(rows.user, kind="stable")  # a user's history is gathered once for all rows of the user
    for places in np.array_split(order, len(order) * sum(design.ks) // EVENTS_AT_ONCE + 1):
        part = rows.take(places)
        histories, end = select_histories(dataset, part, design)
        result = search(histories, part.user, part.target, end)
        rates, similar = _compute_rates(dataset, part, settings, design, task or dataset.tasks[0], vectors)
        samples = build_samples(
            design, histories, result, part.user, part.target, end, part.ts, part.labels, rates, similar
        )
        inputs = samples.empty_like(len(rows), file_backed_zeros) if inputs is None else inputs
        inputs.put(places, samples)
    assert inputs is not None
    return inputs


def _compute_rates(
    dataset: Dataset, rows: Rows, settings: Settings, design: Design, task: str, vectors: torch.Tensor
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """The running rates and the similar rates of rows, None if the design does not read them."""
    if {"rates", "similar_rates"}.isdisjoint(design.extras):
        return None, None
    rates = dataset.load_rates(task).at(rows.user, rows.target, rows.until)
    if "similar_rates" not in design.extras:
        return rates, None
    histories, similar_rates = (
        dataset.load_shown_histories(),
        build_similar_rates(dataset.items, settings, task, vectors),
    )
    end = histories.ends(rows.user, rows.until)
    return rates, similar_rates.at(histories, rows.user, rows.target, end, rates[:, 0])


def build_similar_rates(items: ItemFeatures, settings: Settings, task: str, vectors: torch.Tensor) -> SimilarRates:
    """What computes similar rates, on the device of the vectors."""
    return SimilarRates.of_task(task, vectors, items.categories.to(vectors.device), settings.ranker.max_history)


def build_search(items: ItemFeatures, settings: Settings, design: Design, vectors: torch.Tensor) -> Search:
    """The design's search. It runs on the device of the vectors."""
    categories = items.categories.to(vectors.device)
    limit = settings.ranker.max_history
    return partial(search_histories, design, vectors=vectors, categories=categories, max_history=limit)


def search_vectors(model: Ranker, items: ItemFeatures) -> torch.Tensor:
    """The vectors [items, dim] that the model's search compares, on the model's device."""
    if model.design.search == "id_embedding":
        return model.id_vectors[:-1]
    return items.vectors.to(model.known.device)


def select_histories(dataset: Dataset, rows: Rows, design: Design) -> tuple[Histories, Int64s]:
    """The histories that the design searches, and where they end for each row."""
    if not searches_shown(design):
        return dataset.histories, rows.end
    histories = dataset.load_shown_histories()
    return histories, histories.ends(rows.user, rows.until)


def reads_shown(design: Design) -> bool:
    """Whether the design reads what users were shown. Histories do not contain it by default."""
    return searches_shown(design) or "similar_rates" in design.extras


def searches_shown(design: Design) -> bool:
    """Whether the design has a list of what users were shown and did not take."""
    return not set(SHOWN_ONLY).isdisjoint(dict(design.lists))
