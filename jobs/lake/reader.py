"""Read the Delta tables with Arrow or DuckDB, without a JVM, at the versions that belong to a run."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from jobs.lake.duckdb_connection import open_duckdb
from jobs.lake.errors import UserError
from jobs.lake.file_system import comes_from_store
from jobs.lake.staged_table import StagedTable
from jobs.lake.statements import fill_in
from jobs.lake.store import arrow_dataset, normal_address, open_store

ROWS_AT_ONCE = 1 << 13  # of a streamed answer


class Stream(NamedTuple):
    """Rows that a query can read once, and that need not fit in memory."""

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]


Views = Mapping[str, pa.Table | ds.Dataset | Stream]


class LakeReader:
    """The tables below one folder or address `root`: each table at `<root>/<layer>/<table>`.

    run_id   identifies the run in ops.runs and in each Delta commit
    inputs   version of each table when this run first read it, by table name
    outputs  version of each table after this run last wrote it, by table name
    pins     version at which this run reads each table, by table name (jobs.lake.run_state); other tables are read at
             their newest version
    """

    def __init__(self, root: str | Path, run_id: str = "by-hand", dag_run: str | None = None) -> None:
        self.root = normal_address(str(root))
        self.run_id = run_id
        self.dag_run = dag_run
        self.inputs: dict[str, int] = {}
        self.outputs: dict[str, int] = {}
        self.pins: dict[str, int] = {}
        self.staged: dict[str, StagedTable] = {}  # see jobs.lake.staging
        self.spark_seconds = 0.0
        self._opened: dict[tuple[str, int | None], DeltaTable] = {}

    def path(self, name: str) -> str:
        """Where a table is."""
        return f"{self.root}/{name.replace('.', '/')}"

    def delta(self, name: str, version: int | None = None) -> DeltaTable:
        """Open a table, by default at the version that this run reads, and count it as an input of this run.

        Opening a table reads its log, so tables stay open. Do not write through the table. If it is deleted and made
        again meanwhile, that is not noticed.

        raises  UserError if the table is missing or damaged
        """
        key = name, self.pins.get(name) if version is None else version
        table = self._opened.get(key)
        if table is None or (key[1] is None and self._is_outdated(name, table)):
            table = self._opened[key] = self._open(name, version)
        self.inputs.setdefault(name, table.version())
        return table

    def _is_outdated(self, name: str, table: DeltaTable) -> bool:
        """Whether the table has a newer version."""
        store, root = open_store(self.path(name))
        return bool(store.get_file_info(f"{root}/_delta_log/{table.version() + 1:020}.json").is_file)

    def _open(self, name: str, version: int | None) -> DeltaTable:
        if not DeltaTable.is_deltatable(self.path(name)):
            raise UserError(f"table {name} is not in {self.root}; run `python -m jobs.ingest` first, or check LAKE")
        try:
            return DeltaTable(self.path(name), version=self.pins.get(name) if version is None else version)
        except DeltaError as error:
            if comes_from_store(error):
                raise
            if version is None and name in self.pins and DeltaTable.is_deltatable(self.path(name)):
                raise UserError(self._gone_message(name, error)) from None
            raise UserError(self.damage_message(name, error)) from None

    def partition_days(self, name: str) -> set[date]:
        """The days that a table partitioned by day has rows of, without what this run staged."""
        return _list_days(self.delta(name))

    def staged_days(self, name: str) -> set[date]:
        """The days that the staged rows of such a table are of."""
        return _list_days(DeltaTable(self.staged[name].path)) if name in self.staged else set()

    def count_rows(self, name: str, first: date, last: date) -> int:
        """The rows of a table from a day to another one, both included."""
        days = (ds.field("day") >= first) & (ds.field("day") <= last)
        with self.report_damage(name):
            return int(arrow_dataset(self.delta(name)).count_rows(filter=days))

    @contextmanager
    def read_at(self, versions: dict[str, int]) -> Iterator[None]:
        """Read these tables at these versions inside the block."""
        before = {name: self.pins.pop(name) for name in versions if name in self.pins}
        self.pins |= versions
        try:
            yield
        finally:
            moved = {name for name, version in versions.items() if self.pins[name] != version}  # this run wrote them
            own = {name: version for name, version in self.pins.items() if name in moved or name not in versions}
            self.pins = before | own

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
        with self.report_damage(name):
            parts = [
                dataset.to_table(columns=columns, filter=rows) for dataset, rows in self._parts(name, where, version)
            ]
            return pa.concat_tables(parts)

    def batches(
        self, name: str, columns: list[str], where: ds.Expression | None = None, version: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read rows as a stream of Arrow batches."""
        with self.report_damage(name):
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

    def query(self, text: str, views: Views | None = None, /, **args: Any) -> pa.Table:
        """Answer SQL over any tables with DuckDB, which streams their files and needs no JVM. For small answers.

        text   as for `sql`, in SQL that both Spark and DuckDB understand
        views  further tables that the text names
        """
        with self._ask(text, views, args) as answer:
            return answer.to_arrow_table()

    def stream(self, text: str, views: Views | None = None, /, **args: Any) -> Iterator[pa.RecordBatch]:
        """The same for large answers, which need not fit in memory."""
        with self._ask(text, views, args) as answer:
            yield from answer.to_arrow_reader(ROWS_AT_ONCE)

    @contextmanager
    def _ask(self, text: str, views: Views | None, args: dict[str, Any]) -> "Iterator[duckdb.DuckDBPyRelation]":
        with open_duckdb() as connection:
            tables: dict[str, str] = {}
            errors: list[Exception] = []

            def keep_error(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
                try:
                    yield from batches
                except Exception as error:
                    errors.append(error)
                    raise

            for view, rows in (views or {}).items():
                if isinstance(rows, Stream):
                    rows = pa.RecordBatchReader.from_batches(rows.schema, keep_error(rows.batches))
                connection.register(view, rows)

            def register(name: str) -> str:
                view = name.replace(".", "_")
                tables[view] = name
                connection.register(view, arrow_dataset(self.delta(name)))
                if name not in self.staged:
                    return view
                staged = self.staged[name]
                connection.register(f"{view}_staged", arrow_dataset(DeltaTable(staged.path)))
                return staged.overlay(view, f"{view}_staged")

            filled = fill_in(text, register, {name: f"${name}" for name in args})
            (statement,) = connection.extract_statements(filled)
            used = {name: args[name] for name in statement.named_parameters}
            try:
                yield connection.sql(statement, params=used)
            except (duckdb.Error, pa.ArrowException, OSError) as error:  # Arrow reads the files, and the views
                if errors:
                    raise errors[0] from None
                stream = re.search(r"reading the stream registered as '(\w+)' failed", str(error))
                if stream is None or stream[1] not in tables or comes_from_store(error):
                    raise
                raise UserError(self._unreadable_message(tables[stream[1]], error)) from None

    @contextmanager
    def report_damage(self, name: str) -> Iterator[None]:
        """Say in a sentence that files of a table cannot be read, if that happens inside the block."""
        try:
            yield
        except PermissionError:
            raise
        except (OSError, pa.ArrowInvalid) as error:  # a file is missing or truncated
            if comes_from_store(error):
                raise
            raise UserError(self._unreadable_message(name, error)) from None

    def _unreadable_message(self, name: str, error: Exception) -> str:
        """Files of an old version are gone after some time (see jobs.maintain). Those of the newest one never are."""
        is_old = name in self.pins and self.pins[name] < self.version(name)
        return self._gone_message(name, error) if is_old else self.damage_message(name, error)

    def damage_message(self, name: str, error: Exception) -> str:
        reason = str(error).splitlines()[0][:200]
        return f"table {name} in {self.root} is damaged ({reason}); restore its folder, or run all days into a new lake"

    def _gone_message(self, name: str, error: Exception) -> str:
        version = f"version {self.pins[name]} of table {name}, which this run reads, cannot be opened"
        return (
            f"{version} ({str(error).splitlines()[0][:200]}): clear ingest, so that the run begins with the newest one"
        )


def _list_days(table: DeltaTable) -> set[date]:
    return {date.fromisoformat(partition["day"]) for partition in table.partitions()}
