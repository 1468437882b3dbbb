"""The similarity judge: two items belong together if the vectors of their texts are close."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.encoders.location import encoder_version
from jobs.encoders.vectors import current_vectors
from jobs.item_pairs.verdicts import Pair, Verdict
from jobs.lake import Lake
from jobs.settings.tree import Settings


@dataclass(frozen=True)
class SimilarityJudge:
    """Says yes if two vectors are close, or fairly close and of the same category.

    rows                      item -> row of `vectors`
    vectors                   [items, dim] of unit length
    categories                item -> its broadest category
    min_cosine                from which the verdict is yes
    min_cosine_same_category  the same for two items of one category
    """

    version: str
    rows: dict[str, int]
    vectors: NDArray[np.float32]
    categories: dict[str, str]
    min_cosine: float
    min_cosine_same_category: float

    def judge(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Verdict]]:
        row_a, row_b = (np.array([self.rows.get(pair[side], -1) for pair in pairs], np.int64) for side in (0, 1))
        is_known, cosines = (row_a >= 0) & (row_b >= 0), np.zeros(len(pairs), np.float32)
        cosines[is_known] = np.einsum("pd,pd->p", self.vectors[row_a[is_known]], self.vectors[row_b[is_known]])
        for (a, b), both_known, cosine in zip(pairs, is_known, cosines.tolist(), strict=True):
            if both_known:
                yield (a, b), self._verdict(cosine, self.categories.get(a), self.categories.get(b))
            else:
                missing = [item for item in (a, b) if item not in self.rows]
                yield (a, b), Verdict("unsure", f"no embedding of {' and '.join(missing)}", is_final=False)

    def _verdict(self, cosine: float, category_a: str | None, category_b: str | None) -> Verdict:
        if category_a is not None and category_a == category_b:
            limit = min(self.min_cosine, self.min_cosine_same_category)
            categories = f"both in {category_a}"
        else:
            limit = self.min_cosine
            categories = f"in {category_a} and {category_b}" if category_a and category_b else "category unknown"
        return Verdict("yes" if cosine >= limit else "no", f"cosine {cosine:.2f}, {categories}")


def load_similarity_judge(lake: Lake, settings: Settings) -> SimilarityJudge:
    """The similarity judge with all items of the lake, and their vectors by the encoder of the settings."""
    limits, encoder = settings.judge, encoder_version(settings.encoder)
    items, vectors = current_vectors(lake, encoder)
    has_category = pc.list_value_length(ds.field("category")) > 0
    rows = lake.arrow("silver.items", ["item_id", "category"], has_category)
    broadest = pc.list_element(rows["category"], 0) if rows.num_rows else pa.array([], pa.string())
    return SimilarityJudge(
        version=f"similarity-{limits.min_cosine:g}-{limits.min_cosine_same_category:g}-{encoder}",
        rows={item: row for row, item in enumerate(items)},
        vectors=vectors,
        categories=dict(zip(rows["item_id"].to_pylist(), broadest.to_pylist(), strict=True)),
        min_cosine=limits.min_cosine,
        min_cosine_same_category=limits.min_cosine_same_category,
    )
