"""Swing pairs of a part of a log, without a lake: DuckDB groups the events, the job's own function scores them."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from jobs.item_pairs.settings import Pairs
from jobs.item_pairs.swing_batches import SCORES, make_swing_scorer
from models.ranker.histories import Int64s

SQL = Path(__file__).parent / "etl_sql"
LOG = """
CREATE TABLE log AS SELECT DISTINCT user_id, item_id, event, value, ts, CAST(ts AS DATE) AS day
FROM read_json({files}, format = 'newline_delimited',
  columns = {{user_id: 'VARCHAR', item_id: 'VARCHAR', event: 'VARCHAR', ts: 'TIMESTAMP', value: 'DOUBLE'}})
WHERE user_id IS NOT NULL
"""


class EventLog:
    """Events of known users, in the table `log` of a DuckDB database."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self.db = db

    @classmethod
    def read(cls, folder: Path) -> "EventLog":
        """Read the events of a landing folder (events*.jsonl.gz, in it or in its day folders)."""
        files = sorted(map(str, [*folder.glob("events*.jsonl.gz"), *folder.glob("*/events*.jsonl.gz")]))
        if not files:
            raise SystemExit(f"{folder} holds no events*.jsonl.gz, neither itself nor in day folders")
        quoted = ["'" + file.replace("'", "''") + "'" for file in files]
        db = duckdb.connect()
        db.execute(LOG.format(files=f"[{', '.join(quoted)}]"))
        return cls(db)

    @classmethod
    def from_clicks(cls, user: Int64s, item: Int64s, ts: Int64s) -> "EventLog":
        """Build a log of clicks [events]; the item IDs are these numbers as text, ts is in microseconds."""
        db = duckdb.connect()
        db.register("clicks", pa.table({"user_id": user, "item": item, "ts": pa.array(ts, pa.timestamp("us"))}))
        db.execute(
            "CREATE TABLE log AS SELECT user_id, CAST(item AS VARCHAR) AS item_id, 'click' AS event, "
            "CAST(NULL AS DOUBLE) AS value, ts, CAST(ts AS DATE) AS day FROM clicks"
        )
        return cls(db)

    def find_pairs(self, where: str, caps: Pairs) -> list[tuple[str, str]]:
        """Pairs of item IDs that Swing finds in the events for which the SQL condition `where` holds, on any day."""
        self.db.execute(f"CREATE OR REPLACE TEMP VIEW standing_events AS SELECT * FROM log WHERE {where}")
        values = {"after": "1900-01-01", "day": "9999-12-31", "like_from": 4, **caps.model_dump()}
        self.db.execute("CREATE OR REPLACE TEMP TABLE swing_items AS " + _fill_query("swing_items", values))
        user_batches = self.db.sql(_fill_query("swing_users", values)).to_arrow_reader(2048)
        scored = [scores for users in user_batches for scores in make_swing_scorer(caps)([users])]
        self.db.register("swing_scores", pa.Table.from_batches(scored, SCORES))
        query = "SELECT item_a, item_b FROM (" + _fill_query("swing_pairs", values) + ") ORDER BY ALL"
        return self.db.sql(query).fetchall()


def _fill_query(name: str, values: dict[str, object]) -> str:
    text = (SQL / f"{name}.sql").read_text()
    for key in sorted(values, key=len, reverse=True):
        text = text.replace(f"${key}", str(values[key]))
    return text


def index_pairs(pairs: list[tuple[str, str]], index: dict[str, int]) -> Int64s:
    """[pairs, 2] indices of the items. Pairs with an item that `index` lacks are left out."""
    known = [(index[a], index[b]) for a, b in pairs if a in index and b in index]
    return np.array(known, np.int64).reshape(-1, 2)
