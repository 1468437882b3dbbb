"""The item graph as a table: the pairs of each day, and their sum over the last days."""

import math
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from jobs.generation.behaviour import Behaviour
from jobs.lake import Lake
from jobs.lake.arrow import large_parts
from jobs.lake.contracts import contracts
from jobs.landing.accounting import load_touched_days
from jobs.ranking.items import ItemIndex
from models.generator.graph import ItemGraph
from models.generator.pair_counts import WINDOW, count_pairs

TABLE = "gold.item_graph"
# All weights are whole multiples of 1 / UNIT. So sums are exact, and do not depend on the order of rows.
UNIT = math.lcm(*range(1, WINDOW + 1))
_SUM = f"""
SELECT item_a, item_b, sum(CAST(round(weight * {UNIT}) AS BIGINT))::DOUBLE / {UNIT} AS weight
FROM gold.item_graph WHERE day > :after AND day <= :day GROUP BY item_a, item_b
"""


def list_days(lake: Lake, day: date, graph_days: int) -> list[date]:
    """The days whose pairs must be counted: `day`, days of its graph that are missing, and days that new lines change.

    A new line changes the pairs of its own day. If it came late, it may lie between two events of a user on a later
    day, so it changes the pairs of later days, too.
    """
    built = lake.partition_days(TABLE)
    first_touched = min(load_touched_days(lake, day), default=day)
    stale = {built_day for built_day in built if built_day >= first_touched}
    window = {past for past in lake.partition_days("silver.events") if 0 <= (day - past).days < graph_days}
    return sorted({day} | stale | (window - built))


def write_pairs(lake: Lake, behaviour: Behaviour, day: date) -> None:
    """Write the pairs whose second event happened on a day, as they were known at its end.

    A day without pairs that has no rows is not written: each later run counts it again, and would commit nothing.
    """
    since, ends = behaviour.ends(day - timedelta(days=1)), behaviour.ends(day)
    before, after, weight = count_pairs(behaviour.histories, ends, since=since)
    differs = before != after
    item_a, item_b = (behaviour.items.ids.take(pa.array(index[differs])) for index in (before, after))
    weight = np.rint(weight[differs] * UNIT) / UNIT
    if not len(weight) and day not in lake.partition_days(TABLE):
        return
    columns = (item_a, item_b, weight, pa.array([day] * len(weight), pa.date32()))
    contract = contracts()[TABLE]
    lake.replace(TABLE, pa.table(dict(zip(contract.names, columns, strict=True)), contract.arrow), day=day)


def load_graph(lake: Lake, items: ItemIndex, day: date, graph_days: int) -> ItemGraph:
    """The item graph at the end of a day: the sum of the pairs of its last `graph_days` days.

    Items that corrected logs do not name any more are left out.
    """
    parts = [(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0))]
    for rows in large_parts(lake.stream(_SUM, day=day, after=day - timedelta(days=graph_days)), len(items.ids)):
        before, after = (items.index_of(rows[name]).astype(np.int32) for name in ("item_a", "item_b"))
        is_known = (before >= 0) & (after >= 0)
        parts.append((before[is_known], after[is_known], rows["weight"].to_numpy()[is_known]))
    before, after, weight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return ItemGraph.from_pairs(before, after, weight, n_items=len(items.ids))
