"""Create the tables of a lake from their contracts, and bring older tables up to date."""

from typing import TYPE_CHECKING

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from jobs.lake.contracts import Contract
from jobs.lake.errors import UserError
from jobs.lake.file_system import comes_from_store

if TYPE_CHECKING:
    from jobs.lake.lake import Lake


# Of versions that are replaced, Delta by default keeps the log for 30 days: afterwards nobody could read what an older
# release names, even if its files are there.
PROPERTIES = {"delta.logRetentionDuration": "interval 365 days"}


def create_table(lake: "Lake", contract: Contract) -> int:
    """Create a table if it is missing, and add the columns and constraints that it lacks. Returns its version.

    raises  UserError if the table is damaged
    """
    path = lake.path(contract.name)
    if not DeltaTable.is_deltatable(path):
        DeltaTable.create(
            path,
            schema=contract.delta,
            partition_by=list(contract.partitions),
            mode="ignore",
            description=contract.comment,
            configuration=PROPERTIES | contract.properties,
        )
    try:
        table = DeltaTable(path, without_files=True)
    except DeltaError as error:
        if comes_from_store(error):
            raise
        raise UserError(lake.damage_message(contract.name, error)) from None
    _update_table(lake, table, contract)
    return table.version()


def _update_table(lake: "Lake", table: DeltaTable, contract: Contract) -> None:
    known_columns = {field.name for field in table.schema().fields}
    if columns := [column.delta for column in contract.columns if column.name not in known_columns]:
        table.alter.add_columns(columns, commit_properties=lake.commit_properties())
    known = table.metadata().configuration
    properties = PROPERTIES | contract.properties
    if any(known.get(key) != value for key, value in properties.items()):
        table.alter.set_table_properties(properties, commit_properties=lake.commit_properties())
    if contract.checks:
        missing = {key: check for key, check in contract.checks.items() if f"delta.constraints.{key}" not in known}
        if missing:
            table.alter.add_constraint(missing, commit_properties=lake.commit_properties())
