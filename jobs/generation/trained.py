"""The trained generator of a day: trains it, compares it with the item graph, and stores it if it goes live.

The rule: weights are trained on the `[generator] train_days` before the day. Users who acted on the day are split at
random. The next items of one part choose the best epoch. For the other part, three make lists with what was known at
the end of the day before: the generator, the item graph, and the generator of the live release if it fits today's items
and settings. The generator goes live if its lists hold at least as many of the items that these users acted on for the
first time among their first 10 as both others, and not none. Otherwise it is not stored. The live generator then makes
the day's lists beside the graph if it found at least as many as the graph, and not none; if not, the graph alone makes
them. If the day has too little to compare them on, the live generator stays.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.generation import pairs
from jobs.generation.behaviour import Behaviour, midnight_after
from jobs.generation.hit_rate import measure_hit_rate
from jobs.generation.items import find_known_items
from jobs.generation.lists import Source
from jobs.generation.settings import Generator as GeneratorSettings
from jobs.generation.training import (
    NAME,
    TrainedGenerator,
    build_card,
    curve_metrics,
    fit_design,
    list_inputs,
    load_design,
)
from jobs.lake import Lake
from jobs.lake.metrics import metric_rows
from jobs.ranking.items import ItemIndex
from jobs.release.model_store import hash_models, load_card, save_model
from jobs.release.releases import live_release
from jobs.settings.tree import Settings
from models.generator import seen_items
from models.generator.batches import cut_histories
from models.generator.finders import FindItems, make_graph_finder
from models.generator.validation import Validation
from models.ranker.histories import Int64s

COMPARED = 10  # items of a list, or all if lists are shorter
MIN_NEW_ITEMS = 20  # that decide; with fewer, each hit changes a hit rate by more than five percentage points
LIVE = "live_generator"
LoadStored = Callable[[Lake, Settings, date, ItemIndex, str], TrainedGenerator | None]
Rates = dict[str, tuple[float, int]]  # by source: hit rate, and number of items that users acted on


@dataclass(frozen=True)
class GeneratorOfDay:
    """The generator whose lists a day has, beside those of the item graph.

    source   what makes them; None if the item graph alone makes lists
    metrics  rows for gold.metrics
    notes    for the last line of the job
    """

    source: Source | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


def make_generator(lake: Lake, settings: Settings, day: date, behaviour: Behaviour) -> GeneratorOfDay:
    """Train the generator of the preset, and decide whether it goes live.

    behaviour  what users did until the end of the day, and nothing later
    raises     UserError if training diverges, or semantic IDs are damaged
    """
    g, yesterday = settings.generator, day - timedelta(days=1)
    first = day - timedelta(days=g.train_days)
    fit, load_stored = _find_functions(g)
    load_live = cache(partial(_load_live, lake, settings, day, behaviour.items, load_stored))
    keep_live = partial(_keep_live, load_live)
    histories, moved = cut_histories(behaviour.histories, midnight_after(first - timedelta(days=1)))
    before = behaviour.ends(yesterday) - moved
    if not (histories.lengths(np.arange(len(before)), before) >= 2).any():
        return keep_live(f"no user acted on two items from {first} to {yesterday}")
    measured = Validation.draw(histories, before, 2 * g.valid_users, g.seed).users
    if len(measured) < 2:
        return keep_live(f"fewer than two users with a history acted on {day}: nothing could be measured")
    valid_users = len(measured) // 2
    generator = fit(lake, settings, day, behaviour.items, histories, before, valid_users)
    if isinstance(generator, str):
        return _refuse(generator)
    items, content = generator.items, _hash_content(generator)
    version = f"{day}-{settings.hash}-{content}"
    _, acted_on = seen_items(histories, np.arange(len(before)), before)
    is_known = find_known_items(lake, items, acted_on, yesterday)
    finders = {NAME: generator.make_finder(items.in_catalogue & is_known)}
    if live := load_live():
        finders[LIVE] = live.generator.make_finder(live.generator.items.in_catalogue & is_known)
    is_listed = items.in_catalogue.numpy()
    k = min(COMPARED, g.k)
    rates = _compare(lake, settings, day, behaviour, finders, is_listed, measured[valid_users:], k)
    metrics = curve_metrics(generator.curve, version)
    for name, (rate, count) in rates.items():
        compared_version = live.version if live and name == LIVE else version
        metrics += metric_rows(name, "gate", {f"hit_rate_at_{k}": rate}, rows=count, version=compared_version)
    if (count := rates[NAME][1]) < MIN_NEW_ITEMS:
        return keep_live(f"the users who decide acted on {count} new items, {MIN_NEW_ITEMS} are needed", metrics)
    if reason := _find_objection(rates, k):
        return keep_live(reason, metrics) if _may_live_stay(rates) else _refuse(reason, metrics)
    save_model(lake, NAME, generator.model, build_card(settings, items, version, day), items.ids, generator.save)
    metrics += metric_rows(NAME, "all", {"live": 1.0}, version=version)
    return GeneratorOfDay(_build_source(generator, version, content), metrics, {"generator": version})


def _find_functions(generator: GeneratorSettings) -> tuple[Callable[..., TrainedGenerator | str], LoadStored]:
    """What trains the preset, and what loads a stored generator of it."""
    if generator.is_language_model:
        from jobs.generation import language_model  # slow to import

        return language_model.fit_language_model, language_model.load_language_model
    return fit_design, load_design


def _compare(
    lake: Lake,
    settings: Settings,
    day: date,
    behaviour: Behaviour,
    generators: Mapping[str, FindItems],
    is_listed: NDArray[np.bool_],
    users: Int64s,
    k: int,
) -> Rates:
    """The hit rates at k of generators and of the item graph, of lists made at the end of the day before."""
    yesterday = day - timedelta(days=1)
    before, after = behaviour.ends(yesterday)[users], behaviour.ends(day)[users]
    graph = pairs.load_graph(lake, behaviour.items, yesterday, settings.generator.graph_days)
    n_items = len(behaviour.items.ids)
    finders = {**generators, "graph": make_graph_finder(graph, is_listed)}
    return {
        name: measure_hit_rate(find_items, behaviour.histories, users, before, after, k, n_items)
        for name, find_items in finders.items()
    }


def _find_objection(rates: Rates, k: int) -> str | None:
    """Why the generator does not go live, None if it does."""
    rate, count = rates[NAME]
    if not rate:
        return f"none of {count} items that users acted on was among its first {k}"
    for name, described in (("graph", "the item graph"), (LIVE, "the generator of the live release")):
        if name in rates and rate < rates[name][0]:
            compared = f"{rate:.2%} of {count} items that users acted on were among its first {k}"
            return f"{compared}, and {described} found {rates[name][0]:.2%}"
    return None


def _may_live_stay(rates: Rates) -> bool:
    """Whether the live generator was measured, found something, and found no less than the item graph."""
    return LIVE in rates and 0 < rates[LIVE][0] >= rates["graph"][0]


@dataclass(frozen=True)
class _Live:
    """The generator of the live release, with today's items."""

    version: str
    generator: TrainedGenerator


def _load_live(lake: Lake, settings: Settings, day: date, index: ItemIndex, load_stored: LoadStored) -> _Live | None:
    """The generator that was live before the day. None if there is none, or it does not fit today's items."""
    release = live_release(lake, before=str(day))
    uri = release["generator_uri"] if release else None
    generator = load_stored(lake, settings, day, index, uri) if uri else None
    return _Live(load_card(lake, str(uri)).model_version, generator) if generator else None


def _keep_live(
    load_live: Callable[[], _Live | None], reason: str, metrics: Sequence[dict[str, Any]] = ()
) -> GeneratorOfDay:
    """A day whose own generator does not go live: that of the live release makes the lists, if there is one."""
    live = load_live()
    if live is None:
        return _refuse(reason, metrics)
    source = _build_source(live.generator, live.version, _hash_content(live.generator))
    return _refuse(f"{reason}; the generator of the live release stays", metrics, source)


def _refuse(reason: str, metrics: Sequence[dict[str, Any]] = (), kept: Source | None = None) -> GeneratorOfDay:
    """A day whose generator does not go live. The reason goes to the log, to the notes and to gold.metrics.

    kept  of an earlier generator that makes the lists; without it, the item graph alone makes lists
    """
    version = kept.version if kept else None
    consequence = f"{version} and the item graph make lists" if kept else "the item graph alone makes lists"
    print(f"the generator does not go live: {reason}; {consequence}", file=sys.stderr, flush=True)
    rows = metric_rows(NAME, "refused", {reason: 1.0})
    rows += metric_rows(NAME, "all", {"live": float(kept is not None)}, version=version)
    return GeneratorOfDay(kept, [*metrics, *rows], {"generator": version, "reason": reason})


def _build_source(generator: TrainedGenerator, version: str, content: str) -> Source:
    """What makes the lists of a generator. content: see `_hash_content`; an earlier version lists today's items"""
    is_listed = generator.items.in_catalogue
    save, inputs = partial(generator.save_finder, is_listed), [np.frombuffer(content.encode(), np.uint8)]
    return Source(version, generator.make_finder(is_listed), save, inputs)


def _hash_content(generator: TrainedGenerator) -> str:
    """A hash of the weights and of what the generator knows of the items."""
    return hash_models({NAME: generator.model}, generator.items.ids, list_inputs(generator.items))
