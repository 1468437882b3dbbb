"""Settings of the tables' maintenance."""

from jobs.settings.types import Count, Section


class Maintain(Section):
    """Which old versions of the tables stay."""

    # The versions that so many newest releases name can still be read. So can all of the last seven days.
    releases: Count = 14
