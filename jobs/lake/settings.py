"""Settings of the tables' maintenance."""

from jobs.settings.types import Count, Section


class Maintain(Section):
    """Which old versions of the tables stay."""

    # Keep the table versions that this many of the newest releases name. Those of the last seven days stay anyway.
    releases: Count = 14
