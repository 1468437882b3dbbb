"""Settings of the generator."""

from typing import Literal

from jobs.settings.types import Count, Days, Section


class Generator(Section):
    """The lists that `generate` makes ahead of time for every active user. `recommend` ranks their items."""

    # What makes the lists. graph: the item graph, which items follow which in the histories. It needs no training.
    preset: Literal["graph"] = "graph"
    # The item graph of a day holds the pairs of this many days.
    graph_days: Days = 180
    # Largest number of items in a user's list.
    k: Count = 50
