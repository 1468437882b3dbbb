"""Questions about items in tables: which items need questions, and rows of silver.item_questions."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.item_pairs.askers import Item
from jobs.lake import Lake
from jobs.lake.arrow import rows_with_keys
from models.llm.question_prompt import Question

TABLE = "silver.item_questions"
KEY = ["item_id", "content_hash"]
COLUMNS = [*KEY, "title", "description", "category", "attributes", "price"]
ITEMS_AT_ONCE = 4096  # items whose texts are in memory


def find_items_without_questions(lake: Lake, items: pa.Table, asker_version: str) -> pa.Table:
    """The items (item_id, content_hash) whose present text the asker was not asked about."""
    # All questions about an item are saved in one commit: an item that has the first one has them all.
    is_first = (ds.field("asker_version") == asker_version) & (ds.field("number") <= 1)
    return items.join(lake.arrow(TABLE, KEY, is_first), KEY, join_type="left anti")


def stream_items(lake: Lake, keys: pa.Table) -> Iterator[list[Item]]:
    """Yield the rows of silver.items with these keys, some rows at a time."""
    wanted = set(zip(keys["item_id"].to_pylist(), strict=True))
    for batch in lake.batches("silver.items", COLUMNS) if wanted else ():
        for start in range(0, batch.num_rows, ITEMS_AT_ONCE):
            if items := rows_with_keys(batch.slice(start, ITEMS_AT_ONCE), ["item_id"], wanted).to_pylist():
                yield items


def question_rows(item: Item, questions: list[Question] | None) -> list[dict[str, Any]]:
    """The rows of an item. If the answer could not be read, it is one row with number 0."""
    numbered = [(0, Question("", ""))] if questions is None else enumerate(questions, start=1)
    key = {name: item[name] for name in KEY}
    return [key | {"number": number} | question._asdict() for number, question in numbered]


def load_questions(lake: Lake, item_ids: pa.Array, asker_version: str) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The questions of an asker about these items, with their answers, by (item_id, content_hash)."""
    where = ds.field("item_id").isin(item_ids) & (ds.field("asker_version") == asker_version) & (ds.field("number") > 0)
    rows = lake.arrow(TABLE, [*KEY, "number", "question", "answer"], where)
    questions: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in rows.sort_by([("item_id", "ascending"), ("number", "ascending")]).to_pylist():
        questions.setdefault((row["item_id"], row["content_hash"]), []).append((row["question"], row["answer"]))
    return questions
