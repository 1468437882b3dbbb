"""What is live."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake import Lake


def live(lake: Lake, before: str | None = None) -> dict[str, Any] | None:
    """The release that is live (`before`: the newest one of an earlier day), None if there is none."""
    rows = lake.arrow("gold.releases")
    if before is not None:
        rows = rows.filter(pc.less(rows["day"], pa.scalar(before).cast(pa.date32())))
    newest = rows.sort_by([("release", "descending")]).slice(0, 1).to_pylist()
    return newest[0] if newest else None
