"""Find the nearest centroid of each row by products in bfloat16, and again in float32 where these leave a doubt.

Many processors and GPUs multiply bfloat16 numbers much faster than float32 numbers. But a bfloat16 number has only 8
significant bits. Five steps make that good enough:

1. Choose scores that are small where it matters. The score of a row x and a centroid c is (e - d²)/2. Here d is their
   distance, and e is a guess of the squared distance between the row and its nearest centroid. The highest score
   belongs to the nearest centroid. Scores of near centroids are close to 0, where bfloat16 numbers are densest, so
   rounding changes them little. A bad guess of e only means more doubtful rows (step 4).
2. Compute all scores as one matrix product. As d² = |x|² - 2x·c + |c|², the score is x·c - |c|²/2 + (e - |x|²)/2. The
   last two terms become further columns of the factors: the centroid has -|c|²/2 where the row has a 1, and the row has
   (e - |x|²)/2 where the centroid has a 1. Eight bits are too few for these terms, so each is split into three bfloat16
   numbers that add up to it, in three columns.
3. Pack score and code. A processor finds a maximum about five times as fast as a maximum with its index. A bfloat16
   score that is widened to float32 has 16 low bits that are all 0. The code of the centroid goes there, so one maximum
   finds the best score and its code. For example:

       score 1.5       of code   5:  0x3FC0 -> 0x3FC00000 -> 0x3FC00005 = 1.5000006
       score 1.4921875 of code 700:  0x3FBF -> 0x3FBF0000 -> 0x3FBF02BC = 1.4922709

   (0x3FBF is the next bfloat16 number below 0x3FC0.) The maximum is 0x3FC00005; its low 16 bits say code 5. The code
   changes a score, positive or negative, by less than the step to the next bfloat16 number, so it never changes which
   of two scores is higher. It only decides which of two equal scores wins, and then step 4 finds a doubt.
4. Find doubtful rows. Rounding the factors changes the difference of two scores at random, by a standard deviation
   that is known: the errors of many dimensions mostly cancel out. If the best and the second best score are nearer to
   each other than three of these, plus what rounding the two scores themselves can do, the row is doubtful.
5. Search doubtful rows again in float32.

So a code is wrong only if rounding errs by more than three standard deviations, and then its centroid is still nearly
as near as the nearest one. Only fits use this module, and a few such rows hardly move the mean of their centroid. The
semantic IDs themselves are computed in float64 (`models.quantizers.nearest.assign`).
"""

import torch
from torch import Tensor

from models.quantizers.nearest import NearestCentroid, map_on_cores

_CODE_BITS = 16  # low bits of a float32 that are 0 after widening from bfloat16
_ROUNDING = 2.0**-8  # what rounding to bfloat16 changes a number by at most, relative to it
_DOUBT = 3.0  # standard deviations of the rounding error of the difference of two scores


class Bfloat16NearestCentroid(NearestCentroid):
    """Finds nearly always what `NearestCentroid` finds for float32 rows. Distances are rounded to bfloat16's bits."""

    MAX_CODES = 1 << _CODE_BITS

    def __init__(self, centroids: Tensor, scale: float, sample: Tensor) -> None:
        """As of `NearestCentroid`; sample: a few typical rows [n, dim], to learn the expected distance from."""
        super().__init__(centroids, scale)
        squares = float((sample * scale).square().sum())
        # The expected squared distance of a row is this share of its squared norm.
        self._expected_share = float(super().find(sample)[1].sum()) / squares if squares else 1.0
        norms = centroids.square().sum(1)
        # The error of the sum of dim products grows like |x| |c| / sqrt(dim); this is to be multiplied by |x|.
        self._doubt_per_norm = _DOUBT * _ROUNDING * float((norms.max() / centroids.shape[1]).sqrt())
        self._factors = _append_columns(centroids, _split_in_three(norms / -2), ones_first=False)
        self._codes = torch.arange(self.codes, dtype=torch.int32, device=centroids.device)[:, None]

    def find(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        results = map_on_cores(self._find_with_doubt, self._split(rows), rows.device)
        codes, distances, is_doubtful = map(torch.cat, zip(*results, strict=True))
        doubtful = torch.nonzero(is_doubtful).squeeze(1)
        if len(doubtful):
            codes[doubtful], distances[doubtful] = super().find(rows[doubtful])
        return codes, distances

    def _find_with_doubt(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Code [rows], squared distance [rows], and whether another code may be nearer [rows]."""
        rows = rows * self.scale
        norms = rows.square().sum(1)
        expected = self._expected_share * norms
        scores = self._factors @ _append_columns(rows, _split_in_three((expected - norms) / 2), ones_first=True).T
        best, codes, second = _find_two_best(scores) if scores.is_cuda else self._find_two_best_packed(scores)
        doubt = self._doubt_per_norm * norms.sqrt() + _ROUNDING * (best.abs() + second.abs())
        return codes, (expected - 2 * best).clamp_min(0), best - second < doubt

    def _find_two_best_packed(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Best score [rows], its code [rows], and second best score [rows] of bfloat16 scores [codes, rows]."""
        packed = scores.float()
        packed.view(torch.int32).bitwise_or_(self._codes)  # the same memory seen as integers: write the low 16 bits
        best = packed.amax(0)  # compares scores first, as they are the high 16 bits
        codes = best.view(torch.int32) & (self.MAX_CODES - 1)  # read the low 16 bits
        packed.scatter_(0, codes[None].long(), -torch.inf)  # take the best out, to find the second best
        return best, codes.long(), packed.amax(0)


def _find_two_best(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `_find_two_best_packed`, where a maximum with its index is quick."""
    best, codes = scores.max(0)
    scores.scatter_(0, codes[None], -torch.inf)
    return best.float(), codes, scores.amax(0).float()


def _append_columns(x: Tensor, three: Tensor, *, ones_first: bool) -> Tensor:
    """Append six columns to x [n, dim]: three of ones and the three of its term (step 2).

    The ones of one factor must meet the term of the other, so one factor has the ones first, the other its term.

    returns  [n, dim + 6, filled up with zeros to a multiple of 8, which matrix units are fastest with] bfloat16
    """
    dim = x.shape[1]
    wide = x.new_zeros(len(x), dim + 6 + -(dim + 6) % 8, dtype=torch.bfloat16)
    wide[:, :dim] = x
    ones, term = (dim, dim + 3) if ones_first else (dim + 3, dim)
    wide[:, ones : ones + 3] = 1
    wide[:, term : term + 3] = three
    return wide


def _split_in_three(values: Tensor) -> Tensor:
    """Float32 numbers [n] as three bfloat16 numbers each, [n, 3], that add up to them: 3 x 8 bits make 24."""
    high = values.bfloat16()
    remainder = values - high
    middle = remainder.bfloat16()
    return torch.stack([high, middle, (remainder - middle).bfloat16()], 1)
