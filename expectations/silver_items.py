"""What must be true of silver.items."""

from great_expectations import expectations as gxe

CRITICAL = [
    gxe.ExpectColumnValuesToBeUnique(column="item_id"),
    gxe.ExpectColumnValuesToNotBeNull(column="text"),
    gxe.ExpectColumnValueLengthsToEqual(column="content_hash", value=64),
]
WARNING = [
    gxe.ExpectTableRowCountToBeBetween(min_value=1),
    gxe.ExpectColumnValuesToNotBeNull(column="title", mostly=0.9),
]
