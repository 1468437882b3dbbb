"""The ranker that the settings ask for, and what it is told of the day's rows."""

from dataclasses import replace

import torch

from jobs.behaviour import EVENTS
from jobs.dataset import Dataset
from jobs.indexed import Catalogue
from jobs.lake import UserError
from jobs.sections import Ranker as Section
from jobs.settings import Settings
from models import quantizers
from models.ranker.design import PRESETS, Design
from models.ranker.model import NEAREST, Ranker


def design_of(section: Section, preset: str) -> Design:
    """A preset with the k and the lists of the settings, told the running rates."""
    design = PRESETS[preset]
    k = section.k * design.k // Design().k  # din_long looks at ten times as many
    lists = tuple((EVENTS[name], most) for name, most in section.lists.items())
    return replace(design, k=k, extras=(*design.extras, "rates"), lists=lists)


def challenger_design(section: Section) -> Design:
    """What `section.preset` is, with what the settings tell instead."""
    design = design_of(section, section.preset)
    told = {name: getattr(section, name) for name in ("search", "features", "attention", "extras", "heads")}
    return replace(design, distinct=section.distinct, **{name: one for name, one in told.items() if one is not None})


def build(data: Dataset, settings: Settings, design: Design, din: Ranker | None = None) -> Ranker:
    """A new ranker in the sizes of the settings, which knows the codes of the catalogue.

    din     whose ID embeddings the search `id_embedding` looks at
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
            seed=settings.ranker.seed,
        )
        tell(model, items, din)
    except ValueError as error:
        raise UserError(f"this day cannot be ranked as the settings of [ranker] say: {error}") from None
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def tell(model: Ranker, items: Catalogue, din: Ranker | None) -> None:
    """What the design looks at of the catalogue of today."""
    if model.codes.shape[1]:
        model.set_codes(items.codes)
    if "nearest_items" in model.design.features:
        model.set_nearest(_nearest(items.vectors))
    if model.design.search == "id_embedding":
        if din is None:
            raise ValueError("the search id_embedding looks at a DIN's embeddings, and there is none")
        model.set_searched(din.ids.weight.detach()[:-1])
    if model.design.search == "category" and not bool((items.categories >= 0).any()):
        raise ValueError("the search category needs categories, and silver.items holds none")


def _nearest(vectors: torch.Tensor) -> torch.Tensor:
    """QARM V1's VQ code of each item [items, NEAREST], -1: it has no vector."""
    told = vectors.any(dim=1)
    found = torch.full((len(vectors), NEAREST), -1)
    found[told] = quantizers.fit("nearest_items", vectors[told], sizes=(len(vectors),) * NEAREST, seed=0).encode(
        vectors[told]
    )
    return found
