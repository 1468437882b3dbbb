"""What must be true of silver.events."""

from great_expectations import expectations as gxe

CRITICAL = [
    gxe.ExpectColumnValuesToNotBeNull(column="event_id"),
    gxe.ExpectColumnValuesToNotBeNull(column="item_id"),
    gxe.ExpectColumnValuesToNotBeNull(column="ts"),
    gxe.ExpectColumnValuesToBeInSet(column="event", value_set=["impression", "click", "purchase", "cancel", "rating"]),
    gxe.ExpectCompoundColumnsToBeUnique(
        description="every event_id occurs once within its day", column_list=["day", "event_id"]
    ),
]
WARNING = [
    gxe.ExpectTableRowCountToBeBetween(min_value=1),
    gxe.ExpectColumnValuesToNotBeNull(column="user_id", mostly=0.5),
]
