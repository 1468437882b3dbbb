"""The first K items for every active user, ranked by the model that goes live.

    python -m jobs.recommend --day 2026-11-20

Reads the model, silver.events, silver.item_pairs and the catalogue. Writes gold.recommendations, partition day.
Candidates: items in judged pairs with the user's last items, nearest items by embedding to them (QARM V2,
section 6: triggers x neighbours), and the most popular items.
"""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.behaviour import load_histories, load_rates
from jobs.dataset import Catalogue, load_catalogue
from jobs.gate import decide
from jobs.lake import Lake, Written
from jobs.lake.contracts import contracts
from jobs.lake.entry import main
from jobs.metrics import metric_rows, write_metrics
from jobs.model_store import load_card, load_model
from jobs.progress import progress
from jobs.settings import Settings
from models.candidates import candidates, neighbours
from models.ranker.histories import Histories
from models.ranker.model import Ranker
from models.ranker.rates import Rates
from models.ranker.samples import find, gathered
from models.ranker.training import predict

TABLE = "gold.recommendations"
USERS_PER_BATCH = 256
TRIGGERS, NEIGHBOURS = 10, 50  # QARM V2, section 6


def run(lake: Lake, settings: Settings, day: date) -> Written:
    decision = decide(lake, settings, day)
    if decision.kind == "past":
        return Written(notes={"skipped": decision.reason})
    if decision.uri is None:
        lake.replace(TABLE, pa.Table.from_pylist([], contracts()[TABLE].arrow), day=day)
        write_metrics(lake, "recommend", day, [])
        return Written(notes={"skipped": decision.reason})
    card = load_card(lake, decision.uri)
    catalogue = load_catalogue(lake, settings, card.encoder_version, card.codebook_version)
    model = load_model(lake, decision.uri, catalogue)
    users, histories = load_histories(lake, settings, catalogue, day, pa.chunked_array([], pa.string()))
    active = _active(histories, settings, day)
    pools = candidates(
        histories,
        active,
        neighbours=neighbours(catalogue.vectors, NEIGHBOURS),
        pairs=_pairs(lake, catalogue, day),
        popular=_popular(histories, settings, day),
        triggers=TRIGGERS,
        count=settings.recommend.candidates,
        exclude_seen=settings.recommend.exclude_seen,
    )
    rates = load_rates(lake, settings, users, catalogue, day, model.tasks[0])
    rows = _rank(model, histories, rates, catalogue, active, pools, settings, day)
    columns = [users.take(rows[0]), rows[1], catalogue.ids.take(rows[2]), rows[3]]
    full = [*columns, [card.model_version] * len(rows[1]), [day] * len(rows[1])]
    lake.replace(
        TABLE,
        pa.table(dict(zip(contracts()[TABLE].names, full, strict=True)), contracts()[TABLE].arrow),
        day=day,
    )
    each = len(rows[1]) / max(len(active), 1)
    write_metrics(lake, "recommend", day, metric_rows("ranker", "all", {"users": len(active), "items_per_user": each}))
    return Written(len(active), len(rows[1]), notes={"model_version": card.model_version})


def _since(settings: Settings, day: date) -> int:
    first = day - timedelta(days=settings.recommend.active_days - 1)
    return int(np.datetime64(first, "us").astype(np.int64))


def _active(histories: Histories, settings: Settings, day: date) -> NDArray[np.int64]:
    """Users who acted in the last days."""
    last = histories.ts[np.maximum(histories.offsets[1:] - 1, 0)] if len(histories.ts) else np.zeros(0, np.int64)
    some = np.diff(histories.offsets) > 0
    return np.flatnonzero(some[: len(last)] & (last >= _since(settings, day))) if len(last) else np.zeros(0, np.int64)


def _popular(histories: Histories, settings: Settings, day: date) -> NDArray[np.int64]:
    """Items by number of recent actions, most first."""
    recent = histories.items[histories.ts >= _since(settings, day)]
    items, counts = np.unique(recent, return_counts=True)
    return items[np.lexsort((items, -counts))].astype(np.int64)


def _pairs(lake: Lake, catalogue: Catalogue, day: date) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both directions of the pairs of the day that the judge kept: Swing's, then two-tower, best score first."""
    kept = (ds.field("day") == day) & (ds.field("verdict") == "yes")
    rows = lake.arrow("silver.item_pairs", ["item_a", "item_b", "source", "score"], kept)
    rows = rows.sort_by(
        [("source", "ascending"), ("score", "descending"), ("item_a", "ascending"), ("item_b", "ascending")]
    )
    a, b = catalogue.index(rows["item_a"]), catalogue.index(rows["item_b"])
    known = (a >= 0) & (b >= 0)
    return np.concatenate([a[known], b[known]]), np.concatenate([b[known], a[known]])


def _rank(
    model: Ranker,
    histories: Histories,
    rates: Rates,
    catalogue: Catalogue,
    active: NDArray[np.int64],
    pools: list[NDArray[np.int64]],
    settings: Settings,
    day: date,
) -> tuple[pa.Array, pa.Array, pa.Array, pa.Array]:
    """User index, rank, item index and score of the K best of each pool; ties by item index."""
    tell, parts = progress("ranking for users"), []
    tomorrow = int(np.datetime64(day + timedelta(days=1), "us").astype(np.int64))
    for start in range(0, len(active), USERS_PER_BATCH):
        batch = slice(start, start + USERS_PER_BATCH)
        sizes = np.array([len(pool) for pool in pools[batch]])
        user, target = np.repeat(active[batch], sizes), np.concatenate(pools[batch])
        end = histories.offsets[user + 1]
        found = find(
            model.design, histories, user, target, end, vectors=catalogue.vectors,
            max_history=settings.ranker.max_history,
        )  # fmt: skip
        labels = np.zeros((len(user), len(model.tasks)), np.float32)
        now = np.full(len(user), tomorrow)
        told = rates.at(user, target, now)
        rows = gathered(model.design, histories, found, user, target, end, now, labels, told)
        score = predict(model, rows)[:, 0].astype(np.float64)
        order = np.lexsort((target, -score, user))
        first = np.searchsorted(user[order], user[order])
        rank = np.arange(len(order)) - first + 1
        best = rank <= settings.recommend.k
        parts.append((user[order][best], rank[best], target[order][best], score[order][best]))
        tell(min(start + USERS_PER_BATCH, len(active)), len(active))
    empty = (np.zeros(0, np.int64),) * 3 + (np.zeros(0),)
    user, rank, item, score = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    return pa.array(user), pa.array(rank.astype(np.int32)), pa.array(item), pa.array(score)


if __name__ == "__main__":
    main(run)
