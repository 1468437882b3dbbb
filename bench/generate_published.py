"""Published results on amazon_beauty (Amazon 2014, 5-core), leave one out, ranking all items."""

from typing import NamedTuple


class Published(NamedTuple):
    model: str
    r_at_10: float | None
    n_at_10: float | None
    source: str


AMAZON_BEAUTY = [
    Published("SASRec, binary cross-entropy", 0.0605, 0.0318, "TIGER's paper, arXiv 2305.05065"),
    Published("TIGER", 0.0648, 0.0384, "its paper, arXiv 2305.05065"),
    Published("RPG", None, 0.0464, "its authors"),
    Published("COBRA", 0.0725, None, "its authors"),
    Published("ActionPiece", 0.0775, None, "its authors"),
    Published("HSTU", 0.0788, 0.0439, "blondered/transformer_benchmark"),
    Published("LC-Rec", 0.0791, 0.0438, "phonism/genrec"),
    Published("APAO", 0.0795, None, "its authors"),
    Published("SASRec, sampled softmax", 0.0921, 0.0531, "blondered/transformer_benchmark"),
    Published("OpenOneRec", 0.0924, None, "its README"),
    Published("BARGE", 0.0927, 0.0547, "its paper, arXiv 2607.21028"),
    Published("eSASRec", 0.0928, 0.0523, "blondered/transformer_benchmark"),
]
