"""Give items their semantic IDs on Spark's executors, for catalogues beyond one machine."""

from collections.abc import Callable, Iterable
from datetime import date

import pyarrow as pa

from jobs.lake import Lake
from jobs.runtime.executors import send_models, send_with_tasks
from models.quantizers.rows import Row

_COLUMNS = "item_id STRING, c1 INT, c2 INT, c3 INT"
send_with_tasks(__name__)


def give_ids_on_spark(lake: Lake, rows: list[Row], encoder: str, version: str, day: date, parts: int) -> None:
    """Give an ID to every item that has none in a codebook version, in one commit.

    rows     of the codebook
    encoder  version whose vectors the codebook encodes
    parts    how many parts the items are split into
    """
    send_models(lake.spark)
    vectors = lake.transform("vectors_without_id", encoder=encoder, version=version, day=day).repartition(parts)
    vectors.mapInArrow(make_encoder(rows), _COLUMNS).createOrReplaceTempView("new_codes")
    lake.replace(
        "gold.semantic_ids", lake.transform("new_ids", version=version, day=day), codebook_version=version, day=day
    )


def make_encoder(rows: list[Row]) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """A function for `mapInArrow`: batches of `item_id, vector` to batches of `item_id, c1, c2, c3`.

    It reads the codebook from its rows once for each part.
    """

    def encode(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        import torch  # on the executor

        from models.quantizers import from_rows

        codebook = from_rows(rows)
        for batch in batches:
            if batch.num_rows:
                numbers = torch.from_numpy(batch["vector"].flatten().to_numpy(zero_copy_only=False).copy())
                codes = codebook.encode(numbers.reshape(batch.num_rows, -1)).int().numpy()
                columns = [batch["item_id"], *map(pa.array, codes.T.copy())]
                yield pa.RecordBatch.from_arrays(columns, ["item_id", "c1", "c2", "c3"])

    return encode
