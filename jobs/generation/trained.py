"""The trained generator of a day: trains it, compares it with the item graph, and stores it if it goes live.

The rule: weights are trained on the `[generator] train_days` before the day. Users who acted on the day are split at
random. The next items of one part choose the best epoch. For the other part, generator and item graph make lists with
what was known at the end of the day before. The generator goes live if its lists hold at least as many of the items
that these users acted on for the first time among their first 10. Otherwise its lists are not written, it is not
stored, and the day has the lists of the item graph alone.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.generation import pairs
from jobs.generation.behaviour import Behaviour, midnight_after
from jobs.generation.items import find_known_items
from jobs.generation.lists import Source
from jobs.generation.settings import Generator as GeneratorSettings
from jobs.generation.shards import FindItems
from jobs.generation.trained_lists import measure_hit_rate
from jobs.generation.training import NAME, TrainedGenerator, build_card, curve_metrics, fit_design, list_inputs
from jobs.lake import Lake
from jobs.lake.metrics import metric_rows
from jobs.release.model_store import hash_models, save_model
from jobs.settings.tree import Settings
from models.generator import seen_items
from models.generator.batches import cut_histories
from models.generator.validation import Validation
from models.ranker.histories import Int64s

COMPARED = 10  # items of a list
Rates = dict[str, tuple[float, int]]  # by source: hit rate, and number of items that users acted on


@dataclass(frozen=True)
class GeneratorOfDay:
    """The generator of a day.

    source   what makes its lists; None if it does not go live
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
    histories, moved = cut_histories(behaviour.histories, midnight_after(first - timedelta(days=1)))
    before = behaviour.ends(yesterday) - moved
    if not (histories.lengths(np.arange(len(before)), before) >= 2).any():
        return _refuse(f"no user acted on two items from {first} to {yesterday}")
    measured = Validation.draw(histories, before, 2 * g.valid_users, g.seed).users
    if len(measured) < 2:
        return _refuse(f"fewer than two users with a history acted on {day}: nothing could be measured")
    valid_users = len(measured) // 2
    generator = _find_fit(g)(lake, settings, day, behaviour.items, histories, before, valid_users)
    if isinstance(generator, str):
        return _refuse(generator)
    model, items = generator.model, generator.items
    version = f"{day}-{settings.hash}-{hash_models({NAME: model}, items.ids, list_inputs(items))}"
    _, acted_on = seen_items(histories, np.arange(len(before)), before)
    is_known = find_known_items(lake, items, acted_on, yesterday)
    find_items = generator.make_finder(items.in_catalogue & is_known)
    is_listed = items.in_catalogue.numpy()
    rates = _compare(lake, settings, day, behaviour, find_items, is_listed, measured[valid_users:])
    metrics = curve_metrics(generator.curve, version)
    for name, (rate, count) in rates.items():
        metrics += metric_rows(name, "gate", {f"hit_rate_at_{COMPARED}": rate}, rows=count, version=version)
    reason = _find_objection(rates)
    if reason is not None:
        return _refuse(reason, metrics)
    save_model(lake, NAME, model, build_card(settings, items, version, day), items.ids, generator.save)
    metrics += metric_rows(NAME, "all", {"live": 1.0}, version=version)
    find_items, save = generator.make_finder(items.in_catalogue), partial(generator.save_finder, items.in_catalogue)
    return GeneratorOfDay(Source(version, find_items, save), metrics, {"generator": version})


def _find_fit(generator: GeneratorSettings) -> Callable[..., TrainedGenerator | str]:
    """What trains the preset."""
    if generator.is_language_model:
        from jobs.generation.language_model import fit_language_model  # slow to import

        return fit_language_model
    return fit_design


def _compare(
    lake: Lake,
    settings: Settings,
    day: date,
    behaviour: Behaviour,
    generator: FindItems,
    is_listed: NDArray[np.bool_],
    users: Int64s,
) -> Rates:
    """The hit rates of the generator and of the item graph, of lists made at the end of the day before."""
    yesterday = day - timedelta(days=1)
    before, after = behaviour.ends(yesterday)[users], behaviour.ends(day)[users]
    graph = pairs.load_graph(lake, behaviour.items, yesterday, settings.generator.graph_days)
    k, n_items = min(COMPARED, settings.generator.k), len(behaviour.items.ids)
    finders: dict[str, FindItems] = {NAME: generator, "graph": pairs.make_finder(graph, is_listed)}
    return {
        name: measure_hit_rate(find_items, behaviour.histories, users, before, after, k, n_items)
        for name, find_items in finders.items()
    }


def _find_objection(rates: Rates) -> str | None:
    """Why the generator does not go live, None if it does."""
    (rate, count), (graph_rate, _) = rates[NAME], rates["graph"]
    if not count:
        return "no user of those who decide acted on a new item: nothing could be measured"
    if rate < graph_rate:
        compared = f"{rate:.2%} of {count} items that users acted on were among its first {COMPARED}"
        return f"{compared}, and the item graph found {graph_rate:.2%}"
    return None


def _refuse(reason: str, metrics: list[dict[str, Any]] | None = None) -> GeneratorOfDay:
    """A day without a generator. The reason goes to the log, to the notes and to gold.metrics."""
    print(f"the generator does not go live: {reason}; the item graph alone makes lists", file=sys.stderr, flush=True)
    rows = metric_rows(NAME, "refused", {reason: 1.0}) + metric_rows(NAME, "all", {"live": 0.0})
    return GeneratorOfDay(None, [*(metrics or []), *rows], {"generator": None, "reason": reason})
