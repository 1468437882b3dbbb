"""Presets of the ranker by name, as they are or changed: what bench/rank.py is told to measure."""

import argparse
from dataclasses import dataclass, replace

from rank_logs import DISLIKED, LIKED
from rank_simple import SIMPLE

from models.ranker import PRESETS, Design


@dataclass(frozen=True)
class Variant:
    """A preset, as it is or changed; no design: one of SIMPLE."""

    name: str
    design: Design | None
    max_history: int = 10_000
    aligned: bool = False  # by vectors that are tuned on pairs of the training rows
    fsq: bool = False  # codes of Res-KmeansFSQ where the preset has its own


def variant(name: str) -> Variant:
    """raises  argparse.ArgumentTypeError if there is no such variant"""
    preset, *changes = name.split(":")
    if preset in SIMPLE and not changes:
        return Variant(name, None)
    if preset in SIMPLE:
        raise argparse.ArgumentTypeError(f"{preset} has no parts to change: {name}")
    if preset not in PRESETS:
        raise argparse.ArgumentTypeError(f"there is no preset {preset}: one of {', '.join([*SIMPLE, *PRESETS])}")
    design, max_history, aligned, fsq = PRESETS[preset], 10_000, False, preset != "qarm_v1"
    for change in changes:
        what, _, value = change.partition("=")
        if change == "latest":
            design = replace(design, search="latest")
        elif change == "aligned":
            aligned = True
        elif change == "fsq" and "semantic_id" in design.features:
            fsq = True
        elif change == "distinct":
            design = replace(design, distinct=True)
        elif change == "lists":
            design = replace(design, lists=((LIKED, design.k), (DISLIKED, design.k)))
        elif what == "k" and value.isdigit() and int(value):
            design = replace(design, k=int(value))
        elif what == "history" and value.isdigit() and int(value):
            max_history = int(value)
        elif change.startswith("-") and change[1:] in (*design.features, *design.extras):
            design = design.without(change[1:])
        else:
            raise argparse.ArgumentTypeError(
                f"{name}: expected latest, aligned, fsq, distinct, lists, k=<number>, history=<number> or one of "
                f"{', '.join('-' + part for part in (*design.features, *design.extras))}, not {change}"
            )
    return Variant(name, design, max_history, aligned, fsq)
