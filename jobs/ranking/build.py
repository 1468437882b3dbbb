"""The ranker that the settings ask for, and what it is told of the day's rows."""

import sys
from dataclasses import replace

import torch

from jobs.lake import UserError
from jobs.ranking.dataset import Dataset, looks_at_exposures
from jobs.ranking.histories import EVENTS
from jobs.ranking.settings import Ranker as Section
from jobs.settings.tree import Settings
from models import quantizers
from models.precision import device
from models.ranker.design import PRESETS, Design
from models.ranker.model import NEAREST, Ranker


def din_design(section: Section) -> Design:
    """The baseline: DIN on the latest k events of all types, told the running rates."""
    return replace(PRESETS["din"], k=section.k, extras=("rates",))


def challenger_design(section: Section) -> Design:
    """The preset with the k of the settings, told the running rates, and with what the settings tell instead."""
    design = PRESETS[section.preset]
    k = section.k * design.k // Design().k  # din_long looks at ten times as many
    design = replace(design, k=k, extras=(*design.extras, "rates"), distinct=section.distinct)
    told = {name: getattr(section, name) for name in ("search", "features", "attention", "extras", "heads")}
    lists = tuple((EVENTS[name], most) for name, most in section.lists.items())
    return replace(design, lists=lists, **{name: one for name, one in told.items() if one is not None})


def build(data: Dataset, settings: Settings, design: Design) -> Ranker:
    """A new ranker in the sizes of the settings, which knows what the design looks at of today's catalogue.

    raises  UserError if the day's log or catalogue cannot tell what the design needs
    """
    items = data.catalogue
    try:
        model = Ranker(
            design=design,
            n_items=len(items.ids),
            tasks=data.tasks,
            code_sizes=settings.quantizer.sizes,
            nearest_of=len(items.ids) if "nearest_items" in design.features else 0,
            kinds=len(EVENTS),
            dim=settings.ranker.dim,
            experts=settings.ranker.experts,
            dropout=settings.ranker.dropout,
            seed=settings.ranker.seed,
        )
        if model.codes.shape[1]:
            model.set_codes(items.codes)
        if "nearest_items" in design.features:
            model.set_nearest(_nearest(items.vectors))
        if design.search == "category" and not bool((items.categories >= 0).any()):
            raise ValueError("the search category needs categories, and silver.items holds none")
    except ValueError as error:
        raise UserError(f"this day cannot be ranked as the settings of [ranker] say: {error}") from None
    _warn(data, design)
    return model.to(device())


def _warn(data: Dataset, design: Design) -> None:
    share = float((~data.catalogue.vectors.any(dim=1)).float().mean())
    if design.compares_items and share > 0.5:
        told = f"{share:.0%} of the items have no vector, and are found last: run embed"
        print(f"warning: [ranker] {told}", file=sys.stderr, flush=True)
    histories = data.exposed() if looks_at_exposures(design) else data.histories
    for name, kind in EVENTS.items():
        if kind in dict(design.lists) and not len(histories.only(kind)[0].items):
            print(f"warning: [ranker] lists names {name}, and the log holds none", file=sys.stderr, flush=True)


def _nearest(vectors: torch.Tensor) -> torch.Tensor:
    """QARM V1's VQ code of each item [items, NEAREST], -1: it has no vector."""
    told = vectors.any(dim=1)
    found = torch.full((len(vectors), NEAREST), -1)
    book = quantizers.fit("nearest_items", vectors[told], sizes=(len(vectors),) * NEAREST, seed=0)
    found[told] = book.encode(vectors[told])
    return found
