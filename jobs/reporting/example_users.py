"""Read what the report shows of a few users: what they did, what was found for them, what they are recommended, why."""

from datetime import date, timedelta

from jobs.lake import Lake
from jobs.reporting.metrics import Row
from jobs.reporting.queries import load_titles, query

USERS_SHOWN = 3
ITEMS_SHOWN = 10
REASONS_SHOWN = 5


def load_first_recommendations(lake: Lake, day: date) -> list[Row]:
    """The users that the report shows, and the first item of each user's list. Active users stay the same every day."""
    return query(
        lake, "gold.recommendations",
        "SELECT user_id, item_id FROM t WHERE day = ? AND rank = 1 ORDER BY md5(user_id) LIMIT ?", day, USERS_SHOWN,
    )  # fmt: skip


def load_example_users(lake: Lake, day: date, history_days: int) -> list[Row]:
    """For each user shown: the last `history_days` of the history, what was found and recommended, and the reasons."""
    users = [row["user_id"] for row in load_first_recommendations(lake, day)]
    if not users:
        return []
    recommended = query(
        lake, "gold.recommendations",
        """SELECT user_id, rank, item_id, score FROM t
           WHERE day = ? AND rank <= ? AND user_id IN ? ORDER BY rank""",
        day, ITEMS_SHOWN, users,
    )  # fmt: skip
    history = query(
        lake, "silver.events",
        """SELECT user_id, item_id, arg_max(event, ts) AS event, max(ts) AS ts FROM t
           WHERE day > ? AND day <= ? AND user_id IN ? AND event IN ('click', 'purchase', 'cancel', 'rating')
           GROUP BY user_id, item_id ORDER BY ts DESC, item_id""",
        day - timedelta(history_days), day, users,
    )  # fmt: skip
    reasons = query(
        lake, "gold.explanations",
        """SELECT user_id, history_item_id AS item_id, event, ts, similarity, attention FROM t
           WHERE day = ? AND rank <= ? AND user_id IN ? ORDER BY rank""",
        day, REASONS_SHOWN, users,
    )  # fmt: skip
    found = query(
        lake, "gold.generated",
        """SELECT user_id, rank, item_id, score, source FROM t
           WHERE day = ? AND rank <= ? AND user_id IN ? ORDER BY source, rank""",
        day, ITEMS_SHOWN, users,
    )  # fmt: skip
    titles = load_titles(lake, {row["item_id"] for row in [*recommended, *history, *reasons, *found]})
    for row in [*recommended, *history, *reasons, *found]:
        row["title"] = titles[row["item_id"]]
    lists = {"history": history, "recommended": recommended, "reasons": reasons}
    return [
        {"user_id": user}
        | {name: [row for row in rows if row["user_id"] == user][:ITEMS_SHOWN] for name, rows in lists.items()}
        | {"found": [row for row in found if row["user_id"] == user]}
        for user in users
    ]
