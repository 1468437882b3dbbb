"""Seconds and error of one level of our k-means beside `faiss.Kmeans`, the same points and iterations, in one run.

    make bench B=kmeans ARGS="[--rows 300000] [--json kmeans.json]"

Both iterate from our k-means++ start, whose seconds are shown on their own, and faiss from its own start, too. On a GPU
the defaults are 10 million rows and 8192 codes, and our share of the card's measured bfloat16 peak is shown; faiss runs
there if its wheel is the one for CUDA. Each way runs `--repeats` times, in turn; the median counts. Asserts nothing.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import torch
from common import machine
from rich.console import Console
from rich.table import Table
from torch import Tensor

from models.quantizers.kmeans import kmeans
from models.quantizers.nearest import Nearest

GPU = torch.cuda.is_available()
SEED = 7
PIECE = 1 << 18
Fit = Callable[[Tensor, int, int, Tensor | None], Tensor]
Row = dict[str, str | float]


def mixture(rows: int, dim: int, clouds: int) -> Tensor:
    """Rows of unit variance around centres of unit variance, [rows, dim] float32."""
    device = "cuda" if GPU else "cpu"
    generator = torch.Generator(device).manual_seed(SEED)
    centres = torch.randn(clouds, dim, generator=generator, device=device)
    x = torch.empty(rows, dim, device=device)
    for piece in torch.split(x, PIECE):
        which = torch.randint(clouds, (len(piece),), generator=generator, device=device)
        piece.normal_(generator=generator).add_(centres[which])
    return x


def error(x: Tensor, centroids: Tensor) -> float:
    """Mean squared distance to the nearest centroid, by float32."""
    nearest = Nearest(centroids.to(x.device))
    return sum(float(nearest(piece)[1].double().sum()) for piece in torch.split(x, PIECE)) / len(x)


def ours(x: Tensor, codes: int, iterations: int, start: Tensor | None) -> Tensor:
    weights = torch.ones(len(x), device=x.device)
    return kmeans(x, weights, codes=codes, iterations=iterations, seed=SEED, tick=lambda _: None, start=start)


def peer(x: Tensor, codes: int, iterations: int, start: Tensor | None) -> Tensor:
    """All points, as ours uses all; it takes them from the processor's memory."""
    fit = faiss.Kmeans(x.shape[1], codes, niter=iterations, max_points_per_centroid=len(x), seed=SEED, gpu=GPU)
    fit.train(x.numpy(), init_centroids=None if start is None else start.cpu().numpy())
    return torch.from_numpy(fit.centroids)


def timed(work: Callable[[], Tensor]) -> tuple[float, float, Tensor]:
    """Seconds by the clock, of all cores together, and what came out."""
    clock, cpu = time.perf_counter(), time.process_time()
    found = work()
    if GPU:
        torch.cuda.synchronize()
    return time.perf_counter() - clock, time.process_time() - cpu, found


def peak() -> float:
    """Floating-point operations a second of the card's bfloat16 product."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    seconds = [timed(lambda: a @ a)[0] for _ in range(10)]
    return 2 * 8192**3 / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000 if GPU else 1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--codes", type=int, default=8192 if GPU else 1024)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    x = mixture(flags.rows, flags.dim, 4 * flags.codes)
    begun = timed(partial(ours, x, flags.codes, 0, None))
    start, host = begun[2], x.cpu()
    ways: dict[str, tuple[Fit, Tensor | None]] = {"ours": (ours, start)}
    if not GPU or faiss.get_num_gpus():
        ways |= {"faiss, the same start": (peer, start), "faiss, its own start": (peer, None)}
    runs: dict[str, list[tuple[float, float, Tensor]]] = {name: [] for name in ways}
    for _ in range(flags.repeats):
        for name, (fit, given) in ways.items():
            rows_of = host if fit is peer else x
            runs[name].append(timed(partial(fit, rows_of, flags.codes, flags.iterations, given)))
    rows = [_row("our k-means++ start", [begun], x, 0)]
    rows += [_row(name, found, x, flags.iterations) for name, found in runs.items()]
    if GPU:
        work = 2 * flags.rows * flags.dim * flags.codes * flags.iterations
        rows[1]["share_of_peak"] = round(work / float(rows[1]["seconds"]) / peak(), 3)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    _show(rows, f"{flags.rows:,} x {flags.dim}, {flags.codes} codes; {machine('torch')}, faiss {faiss.__version__}")


def _row(name: str, runs: list[tuple[float, float, Tensor]], x: Tensor, iterations: int) -> Row:
    seconds = [run[0] for run in runs]
    return {
        "way": name,
        "seconds": round(statistics.median(seconds), 2),
        "fastest": round(min(seconds), 2),
        "slowest": round(max(seconds), 2),
        "core_seconds": round(statistics.median(run[1] for run in runs), 2),
        "seconds_per_iteration": round(statistics.median(seconds) / max(1, iterations), 3),
        "error": round(error(x, runs[-1][2]), 5),
    }


def _show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if column == "way" else "right")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
