"""A ranker that was sent to executors makes the lists that it makes for all users at once."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.candidates import CandidateSources, Lists
from models.ranker import PRESETS, Histories, Ranker, search_histories
from models.ranker.event_kinds import EVENT_KINDS, SHOWN_ONLY
from models.ranker.histories import Int64s
from models.ranker.lists import PairScorer, rank_candidates
from models.ranker.rates import Counts, Totals
from models.ranker.served import LIST_SCHEMA, Options, Served, name_sources
from models.ranker.similar_rates import SimilarRates

IMPRESSION = EVENT_KINDS["impression"]
N_USERS, N_ITEMS, N_EVENTS, K = 40, 60, 1500, 5
NAMES = ("pairs", "neighbours", "graph", "generator", "popular")
SHOWN = replace(PRESETS["qarm_v2"], features=("item_id",), extras=("rates", "time"), lists=((0, 4), (IMPRESSION, 6)))
RATED = replace(PRESETS["sidereal"], features=("item_id",), extras=("rates", "similar_rates"), k=4, latest=3)
DESIGNS = {
    "searches what users did": replace(PRESETS["din"], extras=("rates",)),
    "searches what users saw": SHOWN,
    "reads what users saw": RATED,
}


def rows_of(histories: Histories) -> pa.Array:
    """A list of events for each user, as Spark makes them."""
    assert histories.kinds is not None
    of_event = {"ts": histories.ts, "seq": np.zeros(len(histories.ts), np.int64), "item": histories.items}
    structs = pa.StructArray.from_arrays([*of_event.values(), histories.kinds.astype(np.int32)], [*of_event, "kind"])
    return pa.ListArray.from_arrays(pa.array(histories.offsets.astype(np.int32)), structs)


def generated_rows(lists: dict[str, Lists]) -> pa.Array:
    rows: list[list[dict[str, Any]] | None] = []
    for user in range(N_USERS):
        of_user = [
            {"source": name, "rank": rank, "item": int(item)}
            for name, of_source in sorted(lists.items())
            for rank, item in enumerate(of_source.take(np.array([user])).items, start=1)
        ]
        rows.append(of_user or None)
    event = pa.struct([("source", pa.string()), ("rank", pa.int32()), ("item", pa.int32())])
    return pa.array(rows, pa.list_(event))


def draw_lists(rng: np.random.Generator, n_keys: int, n: int) -> Lists:
    pairs = np.unique(rng.integers(0, [n_keys // 2, N_ITEMS], (n, 2)), axis=0)  # the other half has none
    return Lists.from_pairs(pairs[:, 0], pairs[:, 1], n_keys)


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_users_in_batches_get_the_lists_of_all_users_at_once(design: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    searches_shown = bool(design.lists)
    reads_shown = searches_shown or "similar_rates" in design.extras
    kinds = rng.choice([0, 1, 2, *(SHOWN_ONLY if reads_shown else [])], N_EVENTS).astype(np.int8)
    events = rng.integers(0, [N_USERS - 1, N_ITEMS], (N_EVENTS, 2))  # the last user has no event
    ts = rng.permutation(N_EVENTS) * 1_000_000
    shown = Histories.from_arrays(events[:, 0], events[:, 1], ts, N_USERS, kinds=kinds)
    did = ~np.isin(kinds, SHOWN_ONLY)
    histories = Histories.from_arrays(events[did, 0], events[did, 1], ts[did], N_USERS, kinds=kinds[did])
    model = Ranker(design=design, n_items=N_ITEMS, tasks=("click",), code_sizes=(), kinds=5).eval()
    torch.nn.init.normal_(model.ids.weight)
    model.known[:] = True
    vectors, categories = (
        torch.from_numpy(rng.normal(size=(N_ITEMS, 8)).astype(np.float32)),
        torch.from_numpy(rng.integers(-1, 5, N_ITEMS)),
    )
    counts = rng.integers(0, 50, (2, N_USERS)), rng.integers(0, 50, (2, N_ITEMS))
    totals = Totals(*(Counts(np.array([900]), *of_both) for of_both in zip(*counts, strict=True)))
    generated = {name: draw_lists(rng, N_USERS, 200) for name in ("graph", "generator")}
    neighbours = rng.integers(-1, N_ITEMS, (N_ITEMS, 3))
    popular = rng.permutation(N_ITEMS)[:20]
    sources = CandidateSources(
        draw_lists(rng, N_ITEMS, 100), neighbours, list(generated.values()), popular, 3, 12, exclude_seen=True
    )
    search = partial(search_histories, design, vectors=vectors, categories=categories, max_history=100)
    similar_rates = SimilarRates.of_task("click", vectors, categories, 100)
    scorer = PairScorer(model, search, similar_rates, histories, shown, searches_shown, totals, N_EVENTS * 1_000_000)
    expected = rank_candidates(scorer, np.arange(N_USERS), sources, K, "fused")
    arrays = {
        "vectors": vectors.numpy(), "categories": categories.numpy(), "pair_offsets": sources.pairs.offsets,
        "pairs": sources.pairs.items, "neighbours": neighbours, "popular": popular, "shown": counts[1][0],
        "taken": counts[1][1],
    }  # fmt: skip
    options = Options(
        K,
        "fused",
        3,
        12,
        True,
        ("graph", "generator"),
        NAMES,
        100,
        N_EVENTS * 1_000_000,
        900,
        900,
        reads_shown,
        searches_shown,
    )
    items = pa.array([f"i{n}" for n in range(N_ITEMS)])
    Served(model, items, arrays, options).save(tmp_path)
    served, users = Served.load(tmp_path), pa.array([f"u{n}" for n in range(N_USERS)])
    columns = [users, rows_of(shown), *map(pa.array, counts[0]), generated_rows(generated)]
    batch = pa.RecordBatch.from_arrays(columns, ["user_id", "events", "shown", "taken", "generated"])
    parts = [served.rank(batch.slice(start, 15)) for start in range(0, N_USERS, 15)]
    ranked = pa.Table.from_batches(parts)
    user, rank, item, score, found_by = expected
    assert len(rank) == N_USERS * K
    assert ranked["user_id"].to_pylist() == users.take(pa.array(user)).to_pylist()
    assert ranked["item_id"].to_pylist() == items.take(pa.array(item)).to_pylist()
    assert ranked["rank"].to_pylist() == rank.tolist()
    assert np.allclose(ranked["score"].to_numpy(), score.astype(float), atol=1e-6)
    assert ranked["sources"].to_pylist() == name_sources(found_by, NAMES).to_pylist()
    assert {name for names in ranked["sources"].to_pylist() for name in names} == set(NAMES)


def test_a_batch_of_users_without_candidates_has_no_rows(tmp_path: Path) -> None:
    nothing: Int64s = np.zeros(0, np.int64)
    model = Ranker(design=PRESETS["din"], n_items=2, tasks=("click",), kinds=4).eval()
    arrays: dict[str, Any] = dict.fromkeys(("pairs", "popular"), nothing) | dict.fromkeys(
        ("shown", "taken"), np.zeros(2, np.int64)
    )
    arrays |= {"pair_offsets": np.zeros(3, np.int64), "neighbours": np.zeros((2, 0), np.int64)}
    arrays |= {"vectors": np.zeros((2, 4), np.float32), "categories": np.zeros(2, np.int64)}
    options = Options(K, "ranker", 3, 12, True, ("graph",), NAMES, 100, 10, 0, 0, False, False)
    Served(model, pa.array(["a", "b"]), arrays, options).save(tmp_path)
    histories = Histories.from_arrays(np.array([0]), np.array([1]), np.array([5]), 1, kinds=np.array([0], np.int8))
    event = pa.struct([("source", pa.string()), ("rank", pa.int32()), ("item", pa.int32())])
    columns = [pa.array(["u"]), rows_of(histories), pa.array([0]), pa.array([0]), pa.array([None], pa.list_(event))]
    batch = pa.RecordBatch.from_arrays(columns, ["user_id", "events", "shown", "taken", "generated"])
    ranked = Served.load(tmp_path).rank(batch)
    assert ranked.num_rows == 0
    assert ranked.schema == LIST_SCHEMA
