"""Read the judged item pairs that the report shows."""

from datetime import date

from jobs.lake import Lake
from jobs.reporting.metrics import Row
from jobs.reporting.queries import EXAMPLES_SHOWN, load_titles, query


def load_judged_pairs(lake: Lake, day: date) -> list[Row]:
    """For each source: counts of its verdicts, the judge, and for each verdict the pairs with the highest scores."""
    sql = """
        SELECT source, verdict, count(*) AS pairs, max(judge_version) AS judge, sum(judge_seconds) AS seconds,
               arg_max({'item_a': item_a, 'item_b': item_b, 'reason': reason}, (score, item_a, item_b), $2)
                   AS examples
        FROM t WHERE day = $1 AND verdict IS NOT NULL
        GROUP BY source, verdict ORDER BY source, verdict DESC"""
    rows = query(lake, "silver.item_pairs", sql, day, EXAMPLES_SHOWN)
    examples = [pair for row in rows for pair in row["examples"]]
    titles = load_titles(lake, {pair[side] for pair in examples for side in ("item_a", "item_b")})
    for pair in examples:
        pair["title_a"], pair["title_b"] = titles[pair["item_a"]], titles[pair["item_b"]]
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        by_source.setdefault(row["source"], []).append(row)
    return [{"source": source, "verdicts": rows, **_count_verdicts(rows)} for source, rows in by_source.items()]


def _count_verdicts(rows: list[Row]) -> Row:
    pairs = {row["verdict"]: row["pairs"] for row in rows}
    judged, kept = sum(pairs.values()), pairs.get("yes", 0)
    seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
    return {
        "judged": judged,
        "kept": kept,
        "no": pairs.get("no", 0),
        "unsure": pairs.get("unsure", 0),
        "dropped": 1 - kept / judged,
        "judge": rows[0]["judge"],
        "seconds": sum(seconds) if seconds else None,
    }
