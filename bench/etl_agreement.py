"""Do the tables of the jobs and those of DuckDB hold the same rows? Started by `bench/etl.py`.

    make bench B=etl_agreement ARGS="--lake <lake> --duckdb <folder that etl_duckdb wrote>"

The last line on standard output is a JSON list of sentences.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from jobs.settings.tree import load_settings

TABLES = {  # name to its folder in the lake
    "events": "silver/events", "items": "silver/items", "rejects": "bronze/rejects", "samples": "gold/samples",
    "item_pairs": "silver/item_pairs",
}  # fmt: skip
EVENT_COLUMNS = (
    "event_id, user_id, item_id, event, ts, value, price, request_id, position, order_id, seq, landed_day, day"
)
SAMPLE_COLUMNS = (
    'sample_id, user_id, item_id, ts, history_until, request_id, position, click, purchase, "like", clicked_at,'
    " bought_at, sampled, day"
)
QUERIES = {  # what is compared to a query with the engine's name for {}
    "rows of events": "SELECT count(*) FROM {}_events",
    "rows of items": "SELECT count(*) FROM {}_items",
    "rejects by reason": "SELECT reason, count(*) FROM {}_rejects GROUP BY reason ORDER BY reason",
    "rows of samples": "SELECT count(*) FROM {}_samples",
    "clicks in samples": "SELECT sum(click) FROM {}_samples",
    "purchases in samples": "SELECT sum(purchase) FROM {}_samples",
    "hash of all columns of events": f"SELECT sum(hash({EVENT_COLUMNS})) FROM {{}}_events",
    "hash of all columns of samples": f"SELECT sum(hash({SAMPLE_COLUMNS})) FROM {{}}_samples",
}
# If an item has more users than the cap, a hash chooses some of them, and the two engines hash differently.
PAIRS_QUERY = """
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


def compare_tables(lake: Path, folder: Path) -> Iterator[str]:
    """Compare the tables of a lake with the Parquet folders of the DuckDB side; a sentence for each comparison."""
    db = duckdb.connect()
    db.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '4GB'; SET temp_directory = '{folder}/spill'")
    for name, lake_folder in TABLES.items():
        db.register(f"spark_{name}", DeltaTable(str(lake / lake_folder)).to_pyarrow_dataset())
        files = f"'{folder}/{name}/*/*.parquet', hive_partitioning = true, hive_types = {{'day': DATE}}"
        is_written = any((folder / name).glob("*/*.parquet"))
        rows = f"FROM read_parquet({files})" if is_written else f"FROM spark_{name} LIMIT 0"
        db.execute(f"CREATE TEMP VIEW duckdb_{name} AS {rows}")
    for what, query in QUERIES.items():
        spark, duck = (db.execute(query.format(engine)).fetchall() for engine in ("spark", "duckdb"))
        if spark == duck:
            yield f"{what}: {_format_rows(spark)}, the same"
        else:
            yield f"{what}: NOT THE SAME, Spark {_format_rows(spark)} and DuckDB {_format_rows(duck)}"
    settings = load_settings()
    query = PAIRS_QUERY.format(like_from=settings.logs.like_from, users_per_item=settings.pairs.users_per_item)
    [(all_pairs, same, uncapped, same_uncapped)] = db.execute(query).fetchall()
    with_score = "in both with the same score"
    yield f"pairs that either engine has: {all_pairs:,}, {_format_share(same, all_pairs)} {with_score}"
    yield f"pairs of items without a cap: {uncapped:,}, {_format_share(same_uncapped, uncapped)} {with_score}"


def _format_share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "none"


def _format_rows(rows: list[tuple[object, ...]]) -> str:
    return "; ".join(" ".join(f"{v:,}" if isinstance(v, int) and v < 10**12 else str(v) for v in row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--duckdb", type=Path, required=True, help="folder that etl_duckdb wrote")
    flags = parser.parse_args()
    print(json.dumps(list(compare_tables(flags.lake, flags.duckdb))))


if __name__ == "__main__":
    main()
