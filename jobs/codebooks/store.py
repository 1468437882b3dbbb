"""The codebooks in gold.codebooks: find the live one of a day, load and write one."""

from datetime import date
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch

from jobs.codebooks.settings import Quantizer, VectorKind
from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from models import quantizers
from models.quantizers import Codebook, ResKmeansFSQ

CODEBOOKS = "gold.codebooks"


class FittedCodebook(NamedTuple):
    """A fitted codebook: the day of its fit, its version, and the encoder version whose vectors it encodes."""

    day: date
    version: str
    encoder: str


def find_live_codebook(lake: Lake, settings: Quantizer, encoder: str, day: date) -> FittedCodebook | None:
    """The codebook that a day uses, among those of this encoder with the kind, sizes and vectors in the settings.

    The newest one up to the day, so that a backfill uses the same one as the first run did. If all are of later days,
    the oldest. None if there is no codebook.
    """
    rows = lake.arrow(CODEBOOKS, ["codebook_version", "day"], ds.field("encoder_version") == encoder)
    rows = rows.filter(pc.ends_with(rows["codebook_version"], version_suffix(settings)))
    pairs = set(zip(rows["day"].to_pylist(), rows["codebook_version"].to_pylist(), strict=True))
    versions = [FittedCodebook(*pair, encoder) for pair in pairs]
    until_day = [version for version in versions if version.day <= day]
    return max(until_day) if until_day else min(versions, default=None)


def load_codebook(lake: Lake, version: str, dim: int) -> Codebook:
    """Load a codebook version, which must encode vectors of `dim` numbers.

    raises  UserError if it is damaged, or encodes vectors of another length
    """
    rows = lake.arrow(CODEBOOKS, ["level", "part", "code", "vector"], ds.field("codebook_version") == version)
    try:
        codebook = quantizers.from_rows(list(zip(*(rows[c].to_pylist() for c in rows.column_names), strict=True)))
        width = codebook.decode(torch.zeros(1, len(codebook.sizes), dtype=torch.int64)).shape[1]
        codebook.encode(torch.zeros(1, width))  # fails if its parts have different widths
    except (ValueError, RuntimeError, TypeError, IndexError, OverflowError) as error:
        raise UserError(
            f"the codebook {version} in gold.codebooks is damaged ({str(error).splitlines()[0]});"
            " restore that table to an earlier version"
        ) from None
    if width != dim:
        raise UserError(
            f"the codebook {version} encodes vectors of {width} numbers, but the encoder's vectors have {dim}: the"
            " encoder changed and kept its name; start a new lake, or set [encoder] to the model of before"
        )
    return codebook


def write_codebook(lake: Lake, codebook: Codebook, fitted: FittedCodebook) -> None:
    """Write all rows of a fitted codebook to gold.codebooks."""
    level, part, code, vector = zip(*codebook.to_rows(), strict=True)
    count = len(level)
    columns = [[fitted.version] * count, [fitted.encoder] * count, level, part, code, vector, [fitted.day] * count]
    table = pa.table(dict(zip(contracts()[CODEBOOKS].names, columns, strict=True)), contracts()[CODEBOOKS].arrow)
    lake.replace(CODEBOOKS, table, codebook_version=fitted.version, day=fitted.day)


def version_suffix(settings: Quantizer) -> str:
    """The end of a version's name, which says sizes, kind and vectors. No suffix ends with another one."""
    kind = "" if settings.kind == ResKmeansFSQ.kind else f"-{settings.kind}"
    if settings.kind == ResKmeansFSQ.kind and settings.fsq_values:
        kind = "-fsq" + "x".join(map(str, settings.fsq_values))
    vectors = "" if settings.vectors == "text" else f"-{settings.vectors}"
    return "-" + "x".join(map(str, settings.sizes)) + kind + vectors


def vector_kind(version: str) -> VectorKind:
    """The kind of vectors that a codebook version encodes."""
    kinds: tuple[VectorKind, ...] = ("behaviour", "text_behaviour")
    return next((kind for kind in kinds if version.endswith(f"-{kind}")), "text")
