"""One state for one run: at which version the tasks of a run read each table.

A run reads a table at the version that the run began with or, if it has written the table since, at its own newest
version. What other runs commit meanwhile changes nothing that it reads.

- A DAG run gives its ID to its tasks as DAG_RUN. Its first task records the versions in ops.run_versions, and each of
  its commits carries the ID. So a task that is cleared and runs again finds what the run wrote, also after a kill.
- `ingest` begins the run again: it must see all lines that other runs have landed, and the tasks after it see what it
  saw.
- A job without DAG_RUN is a run of its own.
- A job that adds to a table of all runs, such as gold.semantic_ids, first takes over its newest version (`share`).
- gold.releases and the tables of ops are always read at their newest version: they say what is live and what ran.
"""

from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake

from jobs.lake.contracts import contracts
from jobs.lake.errors import UserError
from jobs.lake.lake import Lake

TABLE = "ops.run_versions"
NOT_PINNED = ("gold.releases", "ops.")
MAINTENANCE = ("OPTIMIZE", "VACUUM START", "VACUUM END")  # change files, but no rows


def pin_run(lake: Lake, versions: dict[str, int], job: str, day: date) -> None:
    """Make this task read the tables as its run does.

    versions  the newest version of each table
    """
    newest = {name: version for name, version in versions.items() if not name.startswith(NOT_PINNED)}
    if lake.dag_run is None:
        lake.pins = newest
        return
    recorded = _load_recorded(lake, day)
    if job == "ingest" or not recorded:
        _record(lake, newest, day)
        recorded = newest
    lake.pins = {
        name: _find_own_version(lake, name, recorded.get(name, version), version) for name, version in newest.items()
    }


def share(lake: Lake, day: date, *names: str) -> bool:
    """Take over the newest versions of tables that all runs add to, for this task and the later ones of its run.

    What another run has added since this run began must not be added twice. Returns whether there is anything newer.
    """
    newer = {name: version for name in names if (version := lake.version(name)) > lake.pins.get(name, version)}
    if newer and lake.dag_run is not None:
        _record(lake, newer, day)
    lake.pins |= newer
    return bool(newer)


def _record(lake: Lake, versions: dict[str, int], day: date) -> None:
    row = {"dag_run": lake.dag_run, "run_id": lake.run_id, "recorded_at": datetime.now(UTC), "day": day}
    rows = pa.Table.from_pylist([row | {"versions": list(versions.items())}], contracts()[TABLE].arrow)
    write_deltalake(lake.path(TABLE), rows, mode="append", commit_properties=lake.commit_properties())


def _load_recorded(lake: Lake, day: date) -> dict[str, int]:
    """The newest recorded version of each table; empty if the run has not begun."""
    rows = lake.arrow(TABLE, ["versions"], (ds.field("day") == day) & (ds.field("dag_run") == lake.dag_run))
    recorded: dict[str, int] = {}
    for versions in rows["versions"].to_pylist():
        for name, version in versions:
            recorded[name] = max(version, recorded.get(name, version))
    return recorded


def _find_own_version(lake: Lake, name: str, begun: int, newest: int) -> int:
    """The newest version that this DAG run wrote after `begun`, or else `begun`."""
    if newest <= begun:
        return newest
    for commit in DeltaTable(lake.path(name), without_files=True).history(newest - begun):
        is_own = str(commit.get("userMetadata")).rpartition("/")[0] == lake.dag_run
        if is_own and begun < commit["version"] <= newest:
            return int(commit["version"])
    return begun


def was_rewritten(lake: Lake, name: str, days: list[date]) -> bool:
    """Whether another run has written these days of a table after the version that this run reads."""
    is_of_days = [("day", "in", list(map(str, days)))]
    newest, read = DeltaTable(lake.path(name)), lake.pins.get(name)
    if read is None or newest.version() <= read:
        return False

    def list_files_of_days(version: int) -> set[str]:
        return set(DeltaTable(lake.path(name), version=version).file_uris(is_of_days))

    commits = newest.history(newest.version() - read)
    changed = [commit["version"] for commit in commits if commit["operation"] not in MAINTENANCE]
    return any(list_files_of_days(version - 1) != list_files_of_days(version) for version in changed)


def check_nothing_newer_is_replaced(lake: Lake, table: str, days: list[date], event_days: list[date]) -> None:
    """Stop before days of a table are built from fewer events than another run has built them from.

    event_days  the days whose events the rows are built from
    raises      UserError if another run has landed such events, and built days of the table, since this run began
    """
    if was_rewritten(lake, table, days) and was_rewritten(lake, "silver.events", event_days):
        raise UserError(
            f"another run has landed events, and built {table} of {days[0]} to {days[-1]} of them, since this run"
            " began: clear ingest of this run, so that it begins with them"
        )
