"""The first K items for every active user, ranked by the model that goes live.

    python -m jobs.recommend --day 2026-11-20

Reads the model, silver.events, silver.item_pairs and the catalogue. Writes gold.recommendations, and
gold.explanations for the few users that the report shows, partition day.
Candidates: items in judged pairs with the user's last items, nearest items by embedding to them (QARM V2,
section 6: triggers x neighbours), and the most popular items.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.lake import JobResult, Lake
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.ranking.items import ItemFeatures
from jobs.ranking.scoring import Scorer
from jobs.release.gate import decide
from jobs.reporting.example_users import load_first_recommendations
from jobs.runtime.entry import main
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings
from models.candidates import candidates, neighbours
from models.ranker.histories import Histories
from models.ranker.training import predict

TABLE, EXPLAINED = "gold.recommendations", "gold.explanations"
FOUND_AT_ONCE = 1 << 22  # that are found before the next users' are: bounds memory
TRIGGERS, NEIGHBOURS = 10, 50  # QARM V2, section 6


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    decision = decide(lake, settings, day)
    if decision.kind == "past":
        return JobResult(notes={"skipped": decision.reason})
    if decision.uri is None:
        for table in (TABLE, EXPLAINED):
            lake.replace(table, pa.Table.from_pylist([], contracts()[table].arrow), day=day)
        replace_metrics(lake, "recommend", day, [])
        return JobResult(notes={"skipped": decision.reason})
    scorer = Scorer.load(lake, settings, day, decision.uri)
    catalogue, histories = scorer.catalogue, scorer.histories
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
    rows = _rank(scorer, active, pools, settings.recommend.candidates, settings.recommend.k)
    columns = [scorer.users.take(rows[0]), rows[1], catalogue.ids.take(rows[2]), rows[3]]
    full = [*columns, [scorer.model_version] * len(rows[1]), [day] * len(rows[1])]
    lake.replace(
        TABLE,
        pa.table(dict(zip(contracts()[TABLE].names, full, strict=True)), contracts()[TABLE].arrow),
        day=day,
    )
    each = len(rows[1]) / max(len(active), 1)
    lake.replace(EXPLAINED, _explained(lake, scorer), day=day)
    replace_metrics(
        lake, "recommend", day, metric_rows("ranker", "all", {"users": len(active), "items_per_user": each})
    )
    return JobResult(len(active), len(rows[1]), notes={"model_version": scorer.model_version})


def _explained(lake: Lake, scorer: Scorer) -> pa.Table:
    """Why the users that the report shows get their first items."""
    rows = load_first_recommendations(lake, scorer.day)
    user = pc.index_in(pa.array([row["user_id"] for row in rows], pa.string()), scorer.users).to_numpy()
    target = scorer.catalogue.index(pa.array([row["item_id"] for row in rows], pa.string()))
    return pa.Table.from_pylist(scorer.explain(user.astype(np.int64), target), contracts()[EXPLAINED].arrow)


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


def _pairs(lake: Lake, catalogue: ItemFeatures, day: date) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
    scorer: Scorer, active: NDArray[np.int64], pools: Iterator[NDArray[np.int64]], candidates: int, k: int
) -> tuple[pa.Array, pa.Array, pa.Array, pa.Array]:
    """User index, rank, item index and score of the K best of each pool of candidates; ties by item index."""
    tell, parts = progress("ranking for users"), []
    step = max(FOUND_AT_ONCE // (candidates * sum(scorer.model.design.ks)), 1)
    for start in range(0, len(active), step):
        some = list(islice(pools, step))
        user = np.repeat(active[start : start + step], [len(pool) for pool in some])
        target = np.concatenate(some)
        score = predict(scorer.model, scorer.rows(user, target)[0])[:, 0].astype(np.float64)
        order = np.lexsort((target, -score, user))
        first = np.searchsorted(user[order], user[order])
        rank = np.arange(len(order)) - first + 1
        best = rank <= k
        parts.append((user[order][best], rank[best], target[order][best], score[order][best]))
        tell(min(start + step, len(active)), len(active))
    empty = (np.zeros(0, np.int64),) * 3 + (np.zeros(0),)
    user, rank, item, score = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    return pa.array(user), pa.array(rank.astype(np.int32)), pa.array(item), pa.array(score)


if __name__ == "__main__":
    main(run)
