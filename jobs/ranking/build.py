"""Builds the rankers that the settings ask for."""

import sys
from dataclasses import replace

import torch

from jobs.lake import UserError
from jobs.ranking.dataset import Dataset
from jobs.ranking.model_inputs import reads_shown
from jobs.ranking.settings import Ranker as RankerSettings
from jobs.settings.tree import Settings
from models import quantizers
from models.precision import device
from models.ranker.design import PRESETS, Design
from models.ranker.event_kinds import EVENT_KINDS
from models.ranker.model import NEAREST, Ranker


def din_design(settings: RankerSettings) -> Design:
    """The baseline: DIN on the latest k events of all types, with the running rates."""
    return replace(PRESETS["din"], k=settings.k, extras=("rates",))


def challenger_design(settings: RankerSettings) -> Design:
    """The preset with the running rates, changed by the settings that are set."""
    design = PRESETS[settings.preset]
    k = settings.k * design.k // Design().k  # din_long reads ten times as many events
    lists = tuple((EVENT_KINDS[name], length) for name, length in settings.lists.items())
    names = ("search", "features", "attention", "extras", "heads", "latest", "teacher")
    options = {name: getattr(settings, name) for name in names}
    extras = (*design.extras, "rates")
    design = replace(design, k=k, extras=extras, distinct=settings.distinct, lists=lists)
    return replace(design, **{name: value for name, value in options.items() if value is not None})


def build_ranker(dataset: Dataset, settings: Settings, design: Design) -> Ranker:
    """A new ranker in the sizes of the settings, with the codes and nearest items that the design reads.

    raises  UserError if the day's log or items lack something that the design needs
    """
    items = dataset.items
    try:
        model = Ranker(
            design=design,
            n_items=len(items.ids),
            tasks=dataset.tasks,
            code_sizes=settings.quantizer.sizes,
            nearest_of=len(items.ids) if "nearest_items" in design.features else 0,
            kinds=len(EVENT_KINDS),
            dim=settings.ranker.dim,
            experts=settings.ranker.experts,
            dropout=settings.ranker.dropout,
            seed=settings.ranker.seed,
        )
        if model.codes.shape[1]:
            model.set_codes(items.codes)
        if "nearest_items" in design.features:
            model.set_nearest(_find_nearest_items(items.vectors))
        if design.search == "category" and not bool((items.categories >= 0).any()):
            raise ValueError("the search category needs categories, and no item in silver.items has one")
        if design.teacher and "rates" not in design.extras:
            raise ValueError("the teacher reads running rates: add rates to extras, or set teacher to 0")
    except ValueError as error:
        raise UserError(f"no ranker with these settings of [ranker] can be trained on this day: {error}") from None
    _warn_of_missing_inputs(dataset, design)
    return model.to(device())


def _warn_of_missing_inputs(dataset: Dataset, design: Design) -> None:
    share = float((~dataset.items.vectors.any(dim=1)).float().mean())
    if design.compares_items and share > 0.5:
        message = f"{share:.0%} of the items have no vector, so the search finds them last: run embed"
        print(f"warning: [ranker] {message}", file=sys.stderr, flush=True)
    histories = dataset.load_shown_histories() if reads_shown(design) else dataset.histories
    for name, kind in EVENT_KINDS.items():
        if kind in dict(design.lists) and not len(histories.select_kind(kind)[0].items):
            print(f"warning: [ranker] lists names {name}, but the log has no such event", file=sys.stderr, flush=True)


def _find_nearest_items(vectors: torch.Tensor) -> torch.Tensor:
    """QARM V1's VQ code of each item [items, NEAREST], -1 for an item without a vector."""
    has_vector = vectors.any(dim=1)
    nearest = torch.full((len(vectors), NEAREST), -1)
    quantizer = quantizers.fit("nearest_items", vectors[has_vector], sizes=(len(vectors),) * NEAREST, seed=0)
    nearest[has_vector] = quantizer.encode(vectors[has_vector])
    return nearest
