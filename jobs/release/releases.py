"""Which release is live."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake import Lake


def live_release(lake: Lake, before: str | None = None) -> dict[str, Any] | None:
    """The live release, None if there is none. before: the newest release of the days before this one"""
    rows = lake.arrow("gold.releases")
    if before is not None:
        rows = rows.filter(pc.less(rows["day"], pa.scalar(before).cast(pa.date32())))
    newest = rows.sort_by([("release", "descending")]).slice(0, 1).to_pylist()
    return newest[0] if newest else None
