"""What must be true of silver.item_pairs."""

from great_expectations import expectations as gxe

CRITICAL = [
    gxe.ExpectColumnValuesToNotBeNull(column="item_a"),
    gxe.ExpectColumnValuesToNotBeNull(column="item_b"),
    gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        description="item_a comes before item_b", column_A="item_b", column_B="item_a"
    ),
    gxe.ExpectCompoundColumnsToBeUnique(
        description="every pair occurs once for each day and source", column_list=["day", "item_a", "item_b", "source"]
    ),
    gxe.ExpectColumnValuesToBeBetween(column="score", min_value=0, strict_min=True, max_value=1e9),
    gxe.ExpectColumnValuesToBeInSet(column="verdict", value_set=["yes", "no", "unsure"]),
]
WARNING = [gxe.ExpectTableRowCountToBeBetween(min_value=1)]
