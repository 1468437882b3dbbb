"""Write the Delta tables, read them with Spark, and remember which versions a run wrote."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.contracts import ROOT, contracts
from jobs.lake.creation import create_table
from jobs.lake.duckdb_connection import translate
from jobs.lake.errors import UserError
from jobs.lake.reader import LakeReader, Views
from jobs.lake.rows import Rows, write_arrow
from jobs.lake.statements import fill_in, partition_predicate, spark_literal, spark_table
from jobs.lake.store import arrow_dataset, is_remote, normal_address, spark_address

COMMITS_SEARCHED = 100  # newest commits among which a run looks for its own


@dataclass(frozen=True)
class JobResult:
    """What a job did. For jobs that move rows: rows_in = rows_out + rows_rejected + rows_duplicate + rows_conflicting.

    notes  more values for the last JSON line; `skipped` holds the reason if the job had nothing to do
    """

    rows_in: int = 0
    rows_out: int = 0
    rows_rejected: int = 0
    rows_duplicate: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    rows_conflicting: int = 0


class Lake(LakeReader):
    """The tables of `LakeReader`, with what writes them, and Spark."""

    def create(self) -> dict[str, int]:
        """Create the tables that are missing, and add the columns and constraints that older tables lack.

        returns  the version of each table
        """
        return {name: create_table(self, contract) for name, contract in contracts().items()}

    def replace(
        self,
        name: str,
        rows: Rows,
        where: str | None = None,
        computed_at: int | None = None,
        **partition: date | str | Sequence[date] | Sequence[str],
    ) -> int:
        """Replace a partition, the rows that `where` describes, or the whole table with `rows`.

        It is one atomic commit. Returns the new version of the table.

        where        an SQL condition, such as `day_range_predicate` writes
        computed_at  version of this table that Arrow `rows` were computed from: if another run has changed the rows to
                     replace since, nothing is written
        partition    columns and the value of each, or several days (`day=[...]`)
        """
        contract = contracts()[name]
        if not isinstance(rows, DataFrame):
            predicate = where or partition_predicate("", partition)
            retries = {} if predicate else {"max_commit_retries": 0}  # see `_rewrite`
            write_arrow(
                DeltaTable(self.path(name), version=computed_at),
                rows,
                contract,
                mode="overwrite",
                predicate=predicate,
                commit_properties=self.commit_properties(**retries),
            )
        else:
            writer = rows.select(contract.names).write.format("delta").mode("overwrite")
            writer = writer.option("userMetadata", self.commit_label)
            writer = writer.option("optimizeWrite", "true")  # one file for each day, not one for each day and task
            if predicate := where or partition_predicate("spark", partition):
                writer = writer.option("replaceWhere", predicate)
            writer.save(spark_address(self.path(name)))
        return self.record_write(name)

    def append(self, name: str, rows: Rows) -> None:
        """Add rows in one atomic commit."""
        contract = contracts()[name]
        if not isinstance(rows, DataFrame):
            table = DeltaTable(self.path(name))
            write_arrow(table, rows, contract, mode="append", commit_properties=self.commit_properties())
        else:
            writer = rows.select(contract.names).write.format("delta").mode("append")
            writer = writer.option("optimizeWrite", "true")  # one file for each day, not one for each day and task
            writer.option("userMetadata", self.commit_label).save(spark_address(self.path(name)))
        self.record_write(name)

    @property
    def commit_label(self) -> str:
        """What the `userMetadata` of each commit says about who wrote it."""
        return self.run_id if self.dag_run is None else f"{self.dag_run}/{self.run_id}"

    def commit_properties(self, **options: Any) -> CommitProperties:
        """Properties of a commit with deltalake, which say which run wrote it."""
        return CommitProperties(custom_metadata={"userMetadata": self.commit_label}, **options)

    def record_write(self, name: str) -> int:
        """Count this run's newest version of a table as its output, read the table at it from now on, and return it."""
        table = DeltaTable(self.path(name), without_files=True)
        commits = (commit for limit in (1, COMMITS_SEARCHED) for commit in table.history(limit))
        own = (commit["version"] for commit in commits if commit.get("userMetadata") == self.commit_label)
        self.outputs[name] = int(next(own, table.version()))
        self._opened = {key: opened for key, opened in self._opened.items() if key[0] != name}
        if name in self.pins:
            self.pins[name] = self.outputs[name]
        return self.outputs[name]

    def delete(self, name: str, key: str, values: pa.Array) -> None:
        """Delete the rows whose key is among the values, in one atomic commit."""
        self._rewrite(name, key, values, [])

    def upsert(self, name: str, rows: pa.Table | ds.Dataset, key: str) -> None:
        """Add rows, or put them in the place of those with the same key, in one atomic commit."""
        dataset = ds.dataset(rows) if isinstance(rows, pa.Table) else rows
        self._rewrite(name, key, dataset.to_table([key])[key].combine_chunks(), dataset.to_batches())

    def _rewrite(self, name: str, key: str, dropped: pa.Array, added: Iterable[pa.RecordBatch]) -> None:
        """Write a table again as a stream: without the rows whose key is dropped, and with the added ones.

        MERGE and DELETE of deltalake would write text as Arrow's `string_view`, and Arrow cannot filter such files by a
        text.
        """
        contract = contracts()[name]
        table = DeltaTable(self.path(name))
        stored = arrow_dataset(table).to_batches(columns=list(contract.names))
        kept = (batch.filter(pc.invert(pc.is_in(batch[key], dropped))) for batch in stored)
        write_arrow(
            table,
            chain(added, kept),
            contract,
            mode="overwrite",
            # The commit fails if another one came since. A second try would keep the rows that the other one added, and
            # the files that `maintain` has merged meanwhile: rows would be there twice.
            commit_properties=self.commit_properties(max_commit_retries=0),
        )
        self.record_write(name)

    # --- Spark: rows by the million ---

    @cached_property
    def spark(self) -> SparkSession:
        """The Spark session, started when it is first needed."""
        from jobs.lake.session import check_log_store, spark_session

        started = time.perf_counter()
        session = spark_session(spark_address(f"{self.root}/spark-warehouse"))
        if is_remote(self.root):
            check_log_store(session)
        session.conf.set("spark.databricks.delta.commitInfo.userMetadata", self.commit_label)
        self.spark_seconds = time.perf_counter() - started
        return session

    def sql(self, text: str, /, **args: Any) -> DataFrame:
        """Run Spark SQL that names tables (`silver.events`) and parameters (`:day`).

        args  values of the parameters: days, texts, numbers, or a list of days for `IN :days`
        """

        def path_of(name: str) -> str:
            self.delta(name)
            live = spark_table(self.path(name), self.pins.get(name))
            return self.staged[name].overlay(live, spark_table(self.staged[name].path)) if name in self.staged else live

        return self.spark.sql(fill_in(text, path_of, {name: spark_literal(value) for name, value in args.items()}))

    def transform(self, name: str, /, **args: Any) -> DataFrame:
        """Run `sql/transforms/<name>.sql` with Spark."""
        return self.sql(read_transform(name), **args)

    def compute(self, name: str, in_process: bool, /, **args: Any) -> Iterator[pa.RecordBatch] | DataFrame:
        """Run `sql/transforms/<name>.sql`, with DuckDB in this process or with Spark."""
        return self.stream_transform(name, {}, **args) if in_process else self.transform(name, **args)

    def query_transform(self, name: str, views: Views, /, **args: Any) -> pa.Table:
        """As `stream_transform`, for answers that fit in memory."""
        return self.query(translate(read_transform(name)), views, **args)

    def stream_transform(self, name: str, views: Views, /, **args: Any) -> Iterator[pa.RecordBatch]:
        """Run `sql/transforms/<name>.sql` with DuckDB. It is SQL of Spark, which is translated.

        views  further tables that the text names
        """
        return self.stream(translate(read_transform(name)), views, **args)


def read_transform(name: str) -> str:
    """The text of `sql/transforms/<name>.sql`."""
    return (ROOT / "transforms" / f"{name}.sql").read_text()


def lake_root() -> str:
    """Where the lake is: `LAKE`, by default `lake/` in the current folder.

    raises  UserError if the tables cannot be there
    """
    root = normal_address(os.environ.get("LAKE") or "lake")
    if odd := sorted(set(root) & set("%?#$")):
        raise UserError(f"LAKE={root}: {' '.join(odd)} in a path has a special meaning; choose another folder")
    if not is_remote(root):
        folder = Path(root).resolve()
        parent = next(path for path in (folder, *folder.parents) if path.exists())
        if not parent.is_dir():
            raise UserError(f"LAKE={root}: {parent} is not a folder")
        if parent != folder and not os.access(parent, os.W_OK | os.X_OK):  # a lake that is there may be read-only
            raise UserError(f"LAKE={root}: {parent} cannot be written; choose another folder, or change its owner")
    return root
