"""Give items their codes on Spark's executors: for catalogues beyond one machine."""

from collections.abc import Callable, Iterable
from datetime import date

import pyarrow as pa

from jobs.lake import Lake
from jobs.runtime.executors import send_models, send_with_tasks
from models.quantizers.codebook import Row

COLUMNS = "item_id STRING, c1 INT, c2 INT, c3 INT"
send_with_tasks(__name__)


def give_on_executors(lake: Lake, rows: list[Row], encoder: str, version: str, day: date, parts: int) -> None:
    """Write IDs of the items that have none in a codebook version, in one commit.

    rows     of the codebook
    encoder  version whose vectors it cuts
    """
    send_models(lake.spark)
    vectors = lake.transform("vectors_without_id", encoder=encoder, version=version, day=day).repartition(parts)
    vectors.mapInArrow(coder(rows), COLUMNS).createOrReplaceTempView("new_codes")
    lake.replace(
        "gold.semantic_ids", lake.transform("new_ids", version=version, day=day), codebook_version=version, day=day
    )


def coder(rows: list[Row]) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """Rows `item_id, vector` to rows `item_id, c1, c2, c3`; the codebook is read once for all rows of a part."""

    def encode(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        import torch  # on the executor

        from models.quantizers import from_rows

        book = from_rows(rows)
        for batch in batches:
            if batch.num_rows:
                flat = torch.from_numpy(batch["vector"].flatten().to_numpy(zero_copy_only=False).copy())
                codes = book.encode(flat.reshape(batch.num_rows, -1)).int().numpy()
                columns = [batch["item_id"], *map(pa.array, codes.T.copy())]
                yield pa.RecordBatch.from_arrays(columns, ["item_id", "c1", "c2", "c3"])

    return encode
