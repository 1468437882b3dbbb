"""Read and write the Delta tables with Spark, Arrow or DuckDB, and remember which versions a run used."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.contracts import ROOT, contracts
from jobs.lake.creation import create_table
from jobs.lake.duckdb_connection import open_duckdb
from jobs.lake.errors import UserError
from jobs.lake.staged_table import StagedTable
from jobs.lake.statements import fill_in, partition_predicate, spark_literal, spark_table

COMMITS_SEARCHED = 100  # newest commits among which a run looks for its own


# DuckDB is faster for fewer rows: Spark takes seconds to start. Spark takes over before they fill the memory.
SPARK_FROM_ROWS = 2_000_000


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


class Lake:
    """The tables below one folder or address `root`: each table at `<root>/<layer>/<table>`.

    run_id   identifies the run in ops.runs and in each Delta commit
    inputs   version of each table when this run first read it, by table name
    outputs  version of each table after this run last wrote it, by table name
    pins     version at which this run reads each table, by table name (jobs.lake.run_state); other tables are read at
             their newest version
    """

    def __init__(self, root: str | Path, run_id: str = "by-hand", dag_run: str | None = None) -> None:
        self.root = str(root) if "://" in str(root) else str(Path(root).resolve())
        self.run_id = run_id
        self.dag_run = dag_run
        self.inputs: dict[str, int] = {}
        self.outputs: dict[str, int] = {}
        self.pins: dict[str, int] = {}
        self.staged: dict[str, StagedTable] = {}  # see jobs.lake.staging
        self.spark_seconds = 0.0

    @property
    def uri(self) -> str:
        """The root as an address, such as `file:///data/lake`."""
        return self.root if "://" in self.root else Path(self.root).as_uri()

    def path(self, name: str) -> str:
        """Where a table is."""
        return f"{self.root}/{name.replace('.', '/')}"

    def create(self) -> dict[str, int]:
        """Create the tables that are missing, and add the columns and constraints that older tables lack.

        returns  the version of each table
        """
        return {name: create_table(self, contract) for name, contract in contracts().items()}

    # --- Arrow and DuckDB: small or streamed, no JVM ---

    def delta(self, name: str, version: int | None = None) -> DeltaTable:
        """Open a table, by default at the version that this run reads, and count it as an input of this run.

        raises  UserError if the table is missing or damaged
        """
        if not DeltaTable.is_deltatable(self.path(name)):
            raise UserError(f"table {name} is not in {self.root}; run `python -m jobs.ingest` first, or check LAKE")
        try:
            table = DeltaTable(self.path(name), version=self.pins.get(name) if version is None else version)
        except DeltaError as error:
            if version is None and name in self.pins and DeltaTable.is_deltatable(self.path(name)):
                raise UserError(self._gone_message(name, error)) from None
            raise UserError(self.damage_message(name, error)) from None
        self.inputs.setdefault(name, table.version())
        return table

    def partition_days(self, name: str) -> set[date]:
        """The days that a table partitioned by day has rows of."""
        return {date.fromisoformat(partition["day"]) for partition in self.delta(name).partitions()}

    @contextmanager
    def read_at(self, versions: dict[str, int]) -> Iterator[None]:
        """Read these tables at these versions inside the block."""
        before = {name: self.pins.pop(name) for name in versions if name in self.pins}
        self.pins |= versions
        try:
            yield
        finally:
            self.pins = {name: version for name, version in self.pins.items() if name not in versions} | before

    def version(self, name: str) -> int:
        """The newest version of a table."""
        return DeltaTable(self.path(name)).version()

    def arrow(
        self,
        name: str,
        columns: list[str] | None = None,
        where: ds.Expression | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Read rows into one Arrow table. For tables that grow with the catalogue, not with the events."""
        with self._report_damage(name):
            parts = [
                dataset.to_table(columns=columns, filter=rows) for dataset, rows in self._parts(name, where, version)
            ]
            return pa.concat_tables(parts)

    def batches(
        self, name: str, columns: list[str], where: ds.Expression | None = None, version: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read rows as a stream of Arrow batches."""
        with self._report_damage(name):
            for dataset, rows in self._parts(name, where, version):
                yield from dataset.to_batches(columns=columns, filter=rows, batch_readahead=2, fragment_readahead=1)

    def _parts(
        self, name: str, where: ds.Expression | None, version: int | None
    ) -> list[tuple[ds.Dataset, ds.Expression | None]]:
        """The datasets that make up a table, with the rows to read of each: the table, and what this run staged."""
        live = arrow_dataset(self.delta(name, version))
        if version is not None or name not in self.staged:
            return [(live, where)]
        staged = self.staged[name]
        kept = staged.kept_rows() if where is None else staged.kept_rows() & where
        return [(live, kept), (arrow_dataset(DeltaTable(staged.path)), where)]

    def query(self, text: str, views: Mapping[str, pa.Table] | None = None, /, **args: Any) -> pa.Table:
        """Answer SQL over any tables with DuckDB, which streams their files and needs no JVM. For small answers.

        text   as for `sql`, in SQL that both Spark and DuckDB understand
        views  further tables that the text names
        """
        with open_duckdb() as connection:
            for view, rows in (views or {}).items():
                connection.register(view, rows)

            def register(name: str) -> str:
                view = name.replace(".", "_")
                connection.register(view, arrow_dataset(self.delta(name)))
                if name not in self.staged:
                    return view
                staged = self.staged[name]
                connection.register(f"{view}_staged", arrow_dataset(DeltaTable(staged.path)))
                return staged.overlay(view, f"{view}_staged")

            filled = fill_in(text, register, {name: f"${name}" for name in args})
            (statement,) = connection.extract_statements(filled)
            used = {name: args[name] for name in statement.named_parameters}
            return connection.sql(statement, params=used).to_arrow_table()

    def replace(
        self,
        name: str,
        rows: pa.Table | DataFrame,
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
        if isinstance(rows, pa.Table):
            write_deltalake(
                DeltaTable(self.path(name), version=computed_at),
                rows.select(contract.names).cast(contract.arrow),
                mode="overwrite",
                predicate=where or partition_predicate("", partition),
                commit_properties=self.commit_properties(),
            )
        else:
            writer = rows.select(contract.names).write.format("delta").mode("overwrite")
            writer = writer.option("userMetadata", self.commit_label)
            writer = writer.option("optimizeWrite", "true")  # one file for each day, not one for each day and task
            if predicate := where or partition_predicate("spark", partition):
                writer = writer.option("replaceWhere", predicate)
            writer.save(self.path(name))
        return self.record_write(name)

    def append(self, name: str, rows: pa.Table | DataFrame) -> None:
        """Add rows in one atomic commit."""
        contract = contracts()[name]
        if isinstance(rows, pa.Table):
            write_deltalake(
                self.path(name),
                rows.select(contract.names).cast(contract.arrow),
                mode="append",
                commit_properties=self.commit_properties(),
            )
        else:
            writer = rows.select(contract.names).write.format("delta").mode("append")
            writer = writer.option("optimizeWrite", "true")  # one file for each day, not one for each day and task
            writer.option("userMetadata", self.commit_label).save(self.path(name))
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
        if name in self.pins:
            self.pins[name] = self.outputs[name]
        return self.outputs[name]

    def delete(self, name: str, **partition: date | str | Sequence[date] | Sequence[str]) -> None:
        """Delete the rows in which each column has its value, or one of its values."""
        predicate = partition_predicate("", partition)
        DeltaTable(self.path(name)).delete(predicate, commit_properties=self.commit_properties())
        self.record_write(name)

    def upsert(self, name: str, rows: pa.Table, key: str) -> None:
        """Add rows, or put them in the place of those with the same key, in one atomic commit.

        The table is written again as a stream. The MERGE of deltalake would write text as Arrow's `string_view`, and
        Arrow cannot filter such files by a text.
        """
        contract = contracts()[name]
        table = DeltaTable(self.path(name))
        is_kept = ~ds.field(key).isin(rows[key].combine_chunks())
        kept = arrow_dataset(table).to_batches(columns=list(contract.names), filter=is_kept)
        batches = (batch.cast(contract.arrow) for batch in chain(rows.select(contract.names).to_batches(), kept))
        write_deltalake(
            table,  # the commit fails if another run has written the table since
            pa.RecordBatchReader.from_batches(contract.arrow, batches),
            mode="overwrite",
            commit_properties=self.commit_properties(),
        )
        self.record_write(name)

    # --- Spark: rows by the million ---

    @cached_property
    def spark(self) -> SparkSession:
        """The Spark session, started when it is first needed."""
        from jobs.lake.session import spark_session

        started = time.perf_counter()
        session = spark_session(f"{self.root}/spark-warehouse")
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

    def compute(self, name: str, has_few_rows: bool, /, **args: Any) -> pa.Table | DataFrame:
        """Run `sql/transforms/<name>.sql`: with DuckDB if it handles few rows, because Spark takes seconds to start."""
        return self.query(read_transform(name), **args) if has_few_rows else self.transform(name, **args)

    @contextmanager
    def _report_damage(self, name: str) -> Iterator[None]:
        try:
            yield
        except PermissionError:
            raise
        except (OSError, pa.ArrowInvalid) as error:  # a file is missing or truncated
            raise UserError(self.damage_message(name, error)) from None

    def damage_message(self, name: str, error: Exception) -> str:
        reason = str(error).splitlines()[0][:200]
        return f"table {name} in {self.root} is damaged ({reason}); restore its folder, or run all days into a new lake"

    def _gone_message(self, name: str, error: Exception) -> str:
        version = f"version {self.pins[name]} of table {name}, which this run reads, cannot be opened"
        return (
            f"{version} ({str(error).splitlines()[0][:200]}): clear ingest, so that the run begins with the newest one"
        )


def read_transform(name: str) -> str:
    """The text of `sql/transforms/<name>.sql`."""
    return (ROOT / "transforms" / f"{name}.sql").read_text()


def arrow_dataset(table: DeltaTable) -> ds.Dataset:
    """The rows of a table as an Arrow dataset. Arrow itself reads files that are on this machine.

    By default deltalake gives Arrow a file system in Python. A process that ends while Arrow's threads read ahead,
    such as after an error in the middle of a stream, then crashes or hangs.
    """
    if not table.table_uri.startswith("file:"):
        return table.to_pyarrow_dataset()
    store, root = pafs.FileSystem.from_uri(table.table_uri)
    return table.to_pyarrow_dataset(filesystem=pafs.SubTreeFileSystem(root, store))


def lake_root() -> str:
    """Where the lake is: `LAKE`, by default `lake/` in the current folder.

    raises  UserError if the tables cannot be there
    """
    root = os.environ.get("LAKE") or "lake"
    if "://" not in root:
        if odd := sorted(set(str(Path(root).resolve())) & set("%?#$")):
            raise UserError(f"LAKE={root}: {' '.join(odd)} in a path has a special meaning; choose another folder")
        folder = Path(root).resolve()
        parent = next(path for path in (folder, *folder.parents) if path.exists())
        if not parent.is_dir():
            raise UserError(f"LAKE={root}: {parent} is not a folder")
        if parent != folder and not os.access(parent, os.W_OK | os.X_OK):  # a lake that is there may be read-only
            raise UserError(f"LAKE={root}: {parent} cannot be written; choose another folder, or change its owner")
    return root
