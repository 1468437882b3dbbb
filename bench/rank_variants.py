"""The presets of the ranker that bench/rank.py measures, by name, unchanged or with suffixes that change them."""

import argparse
from dataclasses import dataclass, replace

from rank_logs import DISLIKED, LIKED
from rank_simple import SIMPLE

from models.ranker import PRESETS, Design


@dataclass(frozen=True)
class Variant:
    """A preset, unchanged or changed. Without a design it is one of SIMPLE."""

    name: str
    design: Design | None
    max_history: int = 10_000
    aligned: bool = False  # uses vectors that are tuned on pairs of the training rows
    fsq: bool = False  # uses codes of Res-KmeansFSQ, also if the preset has other codes


def parse_variant(name: str) -> Variant:
    """Parse a name such as `qarm_v2:-simtier:k=10`.

    raises  argparse.ArgumentTypeError if there is no such variant
    """
    preset, *changes = name.split(":")
    if preset in SIMPLE and not changes:
        return Variant(name, None)
    if preset in SIMPLE:
        raise argparse.ArgumentTypeError(f"{name}: {preset} cannot be changed; leave out the suffix")
    if preset not in PRESETS:
        raise argparse.ArgumentTypeError(f"{preset} is no preset; choose one of {', '.join([*SIMPLE, *PRESETS])}")
    design, max_history, aligned, fsq = PRESETS[preset], 10_000, False, preset != "qarm_v1"
    for change in changes:
        key, _, value = change.partition("=")
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
        elif key == "latest" and value.isdigit() and int(value):
            design = replace(design, latest=int(value))
        elif key == "k" and value.isdigit() and int(value):
            design = replace(design, k=int(value))
        elif key == "history" and value.isdigit() and int(value):
            max_history = int(value)
        elif change == "-latest" and design.latest:
            design = replace(design, latest=0)
        elif change == "-teacher" and design.teacher:
            design = replace(design, teacher=0.0)
        elif change.startswith("-") and change[1:] in (*design.features, *design.extras):
            design = design.without(change[1:])
        else:
            raise argparse.ArgumentTypeError(
                f"{name}: expected latest, aligned, fsq, distinct, lists, k=, latest= or history=<number> or one of "
                f"{', '.join('-' + part for part in (*design.features, *design.extras))}, not {change}"
            )
    return Variant(name, design, max_history, aligned, fsq)
