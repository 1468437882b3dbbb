"""Rows that wait outside a table: how a run reads the table with them, and how they get into it in one commit."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from pyspark.sql import DataFrame

from jobs.lake.contracts import Contract, contracts
from jobs.lake.rows import MANY_ROWS, Rows, write_arrow
from jobs.lake.statements import partition_predicate, spark_table
from jobs.lake.store import arrow_dataset, spark_address

if TYPE_CHECKING:
    from jobs.lake.lake import Lake

COMMIT_ATTEMPTS = 20  # an attempt fails only if another run commits to the table in the same milliseconds
Parts = date | str | Sequence[date] | Sequence[str]
Partition = Mapping[str, Parts]


@dataclass(frozen=True)
class StagedTable:
    """Rows in a Delta table at `path`, which will replace a part of the table `name`.

    partition  which rows they replace: columns and the value of each, or several days; empty: all rows
    key        instead of a partition: they replace the rows with the same value in this column
    is_append  instead of a partition: they replace no rows
    is_sorted  whether files keep the order of the rows
    computed_at  version of the table `name` that the rows were computed from, if they were
    """

    name: str
    path: str
    partition: Partition
    key: str | None = None
    is_append: bool = False
    is_sorted: bool = False
    computed_at: int | None = None

    @property
    def contract(self) -> Contract:
        return contracts()[self.name]

    def write(self, rows: Rows) -> None:
        """Write the rows. The table's types and constraints are enforced at once."""
        contract = self.contract
        table = DeltaTable.create(
            self.path,
            schema=contract.delta,
            partition_by=list(contract.partitions),
            configuration=contract.properties or None,
        )
        if contract.checks:
            table.alter.add_constraint(contract.checks)
        if not isinstance(rows, DataFrame):
            write_arrow(table, rows, contract, mode="append")
        else:
            writer = rows.select(contract.names).write.format("delta").mode("append")
            # One file for each day, not one for each task. Rows that must stay sorted are written as they come.
            writer = writer.option("optimizeWrite", not self.is_sorted)
            writer.save(spark_address(self.path))

    def overlay(self, live: str, staged: str) -> str:
        """The table as it will be, in SQL that Spark and DuckDB understand. live, staged: how SQL names the two"""
        columns = ", ".join(self.contract.names)
        if self.key:
            is_kept = f"NOT EXISTS (SELECT 1 FROM {staged} AS s WHERE s.{self.key} = t.{self.key})"
        elif self.is_append:
            is_kept = "true"
        else:
            is_kept = f"({partition_predicate('spark', self.partition) or 'true'}) IS NOT TRUE"
        return f"(SELECT {columns} FROM {live} AS t WHERE {is_kept} UNION ALL SELECT {columns} FROM {staged})"

    def kept_rows(self) -> ds.Expression:
        """Which rows of the live table stay, for Arrow."""
        if self.key:
            keys = arrow_dataset(DeltaTable(self.path)).to_table([self.key])[self.key]
            return ~ds.field(self.key).isin(keys.combine_chunks())
        if self.is_append:
            return ds.scalar(True)
        replaced = ds.scalar(True)
        for column, value in self.partition.items():
            values = [value] if isinstance(value, date | str) else list(value)
            replaced = replaced & ds.field(column).isin(values)
        return ~replaced

    def publish(self, lake: "Lake", store: pafs.FileSystem, folder: str, live_folder: str) -> None:
        """Put the rows into the live table in one commit.

        folder, live_folder  where `store` has the files of the staged rows and of the table
        """
        if self.key:
            self._merge(lake)
        elif self.partition.keys() <= set(self.contract.partitions):
            self._move_files(lake, store, folder, live_folder)
        else:
            write_deltalake(
                lake.path(self.name),
                arrow_dataset(DeltaTable(self.path)).scanner().to_reader(),
                mode="overwrite",
                predicate=partition_predicate("", self.partition),
                commit_properties=lake.commit_properties(),
            )

    def _merge(self, lake: "Lake") -> None:
        """Spark merges many rows: it keeps what does not fit in memory on disk."""
        rows = arrow_dataset(DeltaTable(self.path))
        if rows.count_rows() < MANY_ROWS:
            lake.upsert(self.name, rows, self.key or "")
            return
        lake.spark.conf.set("spark.databricks.delta.commitInfo.userMetadata", lake.commit_label)
        lake.spark.sql(
            f"MERGE INTO {spark_table(lake.path(self.name))} AS t USING {spark_table(self.path)} AS s"
            f" ON t.{self.key} = s.{self.key} WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        ).collect()

    def _move_files(self, lake: "Lake", store: pafs.FileSystem, folder: str, live_folder: str) -> None:
        """Move the files into the table's folder, where no reader sees them, and commit their names."""
        adds = _list_added_files(store, folder)
        moved = [unquote(add["path"]) for add in adds]
        try:
            for file in moved:
                store.create_dir(f"{live_folder}/{file}".rpartition("/")[0])
                store.move(f"{folder}/{file}", f"{live_folder}/{file}")
            self._commit(lake, adds)
        except BaseException:
            # The commit may have succeeded before the error, such as Ctrl-C or a disk too full for a checkpoint.
            needed = {unquote(uri.rpartition("/")[2]) for uri in DeltaTable(lake.path(self.name)).file_uris()}
            for file in moved:
                if file.rpartition("/")[2] in needed:
                    continue
                if store.get_file_info(f"{live_folder}/{file}").type == pafs.FileType.File:
                    store.delete_file(f"{live_folder}/{file}")
            raise

    def _commit(self, lake: "Lake", adds: list[dict[str, Any]]) -> None:
        names = ("path", "size", "partitionValues", "modificationTime", "dataChange", "stats")
        actions: list[AddAction | RemoveAction] = [AddAction(*(add[name] for name in names)) for add in adds]
        filters = [
            (column, "=", str(value)) if isinstance(value, date | str) else (column, "in", list(map(str, value)))
            for column, value in self.partition.items()
        ]
        mode: Literal["append", "overwrite"] = "append" if self.is_append else "overwrite"
        properties = lake.commit_properties(max_commit_retries=0)
        for attempt in range(1, COMMIT_ATTEMPTS + 1):
            table = DeltaTable(lake.path(self.name))  # the files to replace are those of its newest version
            if self.computed_at is not None:
                before = DeltaTable(lake.path(self.name), version=self.computed_at)
                if set(table.file_uris(filters)) != set(before.file_uris(filters)):
                    reason = f"another run has changed rows of {self.name} that this run replaces"
                    raise CommitFailedError(f"Failed to commit transaction: {reason}")
            try:
                table.create_write_transaction(
                    actions, mode, table.schema(), list(self.contract.partitions), filters or None,
                    commit_properties=properties,
                )  # fmt: skip
                return
            except CommitFailedError:
                if _has_files(lake.path(self.name), adds):  # it was committed, but the store's answer was lost
                    return
                if attempt == COMMIT_ATTEMPTS:
                    raise


def _has_files(path: str, adds: list[dict[str, Any]]) -> bool:
    """Whether the newest version of a table has all these files."""
    names = {unquote(uri.rpartition("/")[2]) for uri in DeltaTable(path).file_uris()}
    return bool(adds) and all(unquote(add["path"]).rpartition("/")[2] in names for add in adds)


def _list_added_files(store: pafs.FileSystem, folder: str) -> list[dict[str, Any]]:
    """The `add` actions in the log of a table that was only appended to."""
    infos = store.get_file_info(pafs.FileSelector(f"{folder}/_delta_log"))
    adds = []
    for info in sorted(infos, key=lambda info: str(info.path)):
        if info.path.endswith(".json"):
            with store.open_input_file(info.path) as file:
                actions = map(json.loads, file.read().splitlines())
                adds += [action["add"] for action in actions if "add" in action]
    return adds
