"""Swing pairs of a part of a log, without a lake: DuckDB groups, the job's own function scores."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from jobs.item_pairs.settings import Pairs
from jobs.pairs import SCORES, best_pairs
from models.ranker.histories import Int64s

SQL = Path(__file__).parent / "etl_sql"
LOG = """
CREATE TABLE log AS SELECT DISTINCT user_id, item_id, event, value, ts, CAST(ts AS DATE) AS day
FROM read_json({files}, format = 'newline_delimited',
  columns = {{user_id: 'VARCHAR', item_id: 'VARCHAR', event: 'VARCHAR', ts: 'TIMESTAMP', value: 'DOUBLE'}})
WHERE user_id IS NOT NULL
"""


class Log:
    """Events of known users, in the table `log` of a database."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self.db = db

    @classmethod
    def read(cls, folder: Path) -> "Log":
        """The events of a landing folder (events*.jsonl.gz, in it or in its day folders)."""
        files = sorted(map(str, [*folder.glob("events*.jsonl.gz"), *folder.glob("*/events*.jsonl.gz")]))
        if not files:
            raise SystemExit(f"{folder} holds no events*.jsonl.gz, neither itself nor in day folders")
        quoted = ["'" + file.replace("'", "''") + "'" for file in files]
        db = duckdb.connect()
        db.execute(LOG.format(files=f"[{', '.join(quoted)}]"))
        return cls(db)

    @classmethod
    def of_clicks(cls, user: Int64s, item: Int64s, ts: Int64s) -> "Log":
        """Clicks [events] on items, whose ids are these numbers; ts in microseconds."""
        db = duckdb.connect()
        db.register("clicks", pa.table({"user_id": user, "item": item, "ts": pa.array(ts, pa.timestamp("us"))}))
        db.execute(
            "CREATE TABLE log AS SELECT user_id, CAST(item AS VARCHAR) AS item_id, 'click' AS event, "
            "CAST(NULL AS DOUBLE) AS value, ts, CAST(ts AS DATE) AS day FROM clicks"
        )
        return cls(db)

    def pairs(self, where: str, caps: Pairs) -> list[tuple[str, str]]:
        """Pairs of item ids that Swing finds in the events that `where` keeps, whatever their day."""
        self.db.execute(f"CREATE OR REPLACE TEMP VIEW events AS SELECT * FROM log WHERE {where}")
        window = {"after": "1900-01-01", "day": "9999-12-31", "like_from": 4, **caps.model_dump()}
        self.db.execute("CREATE OR REPLACE TEMP TABLE swing_items AS " + _query("swing_items", window))
        users = self.db.sql(_query("swing_users", window)).to_arrow_reader(2048)
        scored = [batch for one in users for batch in best_pairs(caps)([one])]
        self.db.register("swing_scores", pa.Table.from_batches(scored, SCORES))
        return self.db.sql("SELECT item_a, item_b FROM (" + _query("swing_pairs", window) + ") ORDER BY ALL").fetchall()


def _query(name: str, values: dict[str, object]) -> str:
    text = (SQL / f"{name}.sql").read_text()
    for key in sorted(values, key=len, reverse=True):
        text = text.replace(f"${key}", str(values[key]))
    return text


def indices(pairs: list[tuple[str, str]], place: dict[str, int]) -> Int64s:
    """[pairs, 2] places of the items; pairs of an item that is not there are left out."""
    known = [(place[a], place[b]) for a, b in pairs if a in place and b in place]
    return np.array(known, np.int64).reshape(-1, 2)
