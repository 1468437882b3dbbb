"""Whether the tables of the jobs and those of DuckDB hold the same; used by `bench/etl.py`.

    python bench/etl_agreement.py --lake lake --duckdb folder

The last line on standard output is a JSON list of sentences.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from jobs.settings.tree import load_settings

TABLES = {
    "events": "silver/events", "items": "silver/items", "rejects": "bronze/rejects", "samples": "gold/samples",
    "item_pairs": "silver/item_pairs",
}  # fmt: skip
EVENT = "event_id, user_id, item_id, event, ts, value, price, request_id, position, order_id, seq, landed_day, day"
SAMPLE = 'sample_id, user_id, item_id, ts, history_until, request_id, position, click, purchase, "like", sampled, day'
ASKED = {
    "rows of events": "SELECT count(*) FROM {}_events",
    "rows of items": "SELECT count(*) FROM {}_items",
    "rejects by reason": "SELECT reason, count(*) FROM {}_rejects GROUP BY reason ORDER BY reason",
    "rows of samples": "SELECT count(*) FROM {}_samples",
    "clicks in samples": "SELECT sum(click) FROM {}_samples",
    "hash of all columns of events": f"SELECT sum(hash({EVENT})) FROM {{}}_events",
    "hash of all columns of samples": f"SELECT sum(hash({SAMPLE})) FROM {{}}_samples",
}
# An item with more users than the cap is scored with some of them, which the two engines choose by another hash.
PAIRS = """
  WITH busy AS (
    SELECT item_id FROM spark_events
    WHERE user_id IS NOT NULL AND (event IN ('click', 'purchase') OR (event = 'rating' AND value >= {like_from}))
    GROUP BY item_id HAVING count(DISTINCT user_id) > {users_per_item}
  ), compared AS (
    SELECT coalesce(abs(s.score - d.score) < 1e-9, false) AS same,
      item_a NOT IN (FROM busy) AND item_b NOT IN (FROM busy) AS uncapped
    FROM spark_item_pairs s FULL JOIN duckdb_item_pairs d USING (item_a, item_b)
  )
  SELECT count(*), count_if(same), count_if(uncapped), count_if(same AND uncapped) FROM compared
"""


def agreement(lake: Path, folder: Path) -> Iterator[str]:
    db = duckdb.connect()
    db.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '4GB'; SET temp_directory = '{folder}/spill'")
    for name, place in TABLES.items():
        db.register(f"spark_{name}", DeltaTable(str(lake / place)).to_pyarrow_dataset())
        files = f"'{folder}/{name}/*/*.parquet', hive_partitioning = true, hive_types = {{'day': DATE}}"
        written = any((folder / name).glob("*/*.parquet"))
        rows = f"FROM read_parquet({files})" if written else f"FROM spark_{name} LIMIT 0"
        db.execute(f"CREATE TEMP VIEW duckdb_{name} AS {rows}")
    for what, query in ASKED.items():
        ours, theirs = (db.execute(query.format(engine)).fetchall() for engine in ("spark", "duckdb"))
        told = f"{_shown(ours)}, the same" if ours == theirs else f"NOT THE SAME, {_shown(ours)} and {_shown(theirs)}"
        yield f"{what}: {told}"
    settings = load_settings()
    query = PAIRS.format(like_from=settings.logs.like_from, users_per_item=settings.pairs.users_per_item)
    [(all_pairs, same, uncapped, same_uncapped)] = db.execute(query).fetchall()
    with_score = "in both with the same score"
    yield f"pairs that either found: {all_pairs:,}, {_share(same, all_pairs)} {with_score}"
    yield f"pairs of items that no cap touches: {uncapped:,}, {_share(same_uncapped, uncapped)} {with_score}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "none"


def _shown(rows: list[tuple[object, ...]]) -> str:
    return "; ".join(" ".join(f"{v:,}" if isinstance(v, int) and v < 10**12 else str(v) for v in row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--duckdb", type=Path, required=True)
    flags = parser.parse_args()
    print(json.dumps(list(agreement(flags.lake, flags.duckdb))))


if __name__ == "__main__":
    main()
