"""What must be true of silver.item_pairs."""

from great_expectations import expectations as gxe

CRITICAL = [
    gxe.UnexpectedRowsExpectation(
        description="item_a comes before item_b, and neither is null",
        unexpected_rows_query="SELECT item_a, item_b FROM {batch} WHERE coalesce(item_a >= item_b, true)",
    ),
    gxe.UnexpectedRowsExpectation(
        description="every pair occurs once for each day and source",
        unexpected_rows_query="SELECT day, item_a, item_b, source FROM {batch} GROUP BY ALL HAVING count(*) > 1",
    ),
    gxe.ExpectColumnValuesToBeBetween(column="score", min_value=0, strict_min=True, max_value=1e9),
    gxe.ExpectColumnValuesToBeInSet(column="verdict", value_set=["yes", "no", "unsure"]),
]
WARNING = [gxe.ExpectTableRowCountToBeBetween(min_value=1)]
