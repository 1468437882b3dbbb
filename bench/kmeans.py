"""Is one level of our k-means as fast and as exact as `faiss.Kmeans`, with the same points, iterations and start?

    make bench B=kmeans ARGS="[--rows 300000] [--repeats 1] [--json kmeans.json]"

Both start from our k-means++ start; faiss also runs from its own start. Each way runs `--repeats` times, in turn. On a
GPU the defaults are 10 million rows and 8192 codes; faiss runs there if its wheel is the one for CUDA.

Columns:

    way                    the time of our k-means++ start is a row of its own and not part of the other rows
    seconds                median over the repeats
    fastest, slowest       seconds of the fastest and the slowest repeat
    core seconds           processor time, summed over the cores; median
    seconds per iteration
    error                  mean squared distance from a point to its nearest centroid
    share of peak          on a GPU: our share of the card's measured bfloat16 peak
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import faiss
import torch
from common import build_parser, describe_machine
from rich.console import Console
from rich.table import Table
from torch import Tensor

from models.quantizers.kmeans import kmeans
from models.quantizers.nearest import NearestCentroid

GPU = torch.cuda.is_available()
SEED = 7
ROWS_PER_PIECE = 1 << 18
Fit = Callable[[Tensor, int, int, Tensor | None], Tensor]
Timed = tuple[float, float, Tensor]  # seconds by the clock, seconds of all cores, result
Row = dict[str, str | float]


def draw_mixture(rows: int, dim: int, centre_count: int) -> Tensor:
    """Draw rows of unit variance around centres of unit variance; returns [rows, dim] float32."""
    device = "cuda" if GPU else "cpu"
    generator = torch.Generator(device).manual_seed(SEED)
    centres = torch.randn(centre_count, dim, generator=generator, device=device)
    x = torch.empty(rows, dim, device=device)
    for piece in torch.split(x, ROWS_PER_PIECE):
        which = torch.randint(centre_count, (len(piece),), generator=generator, device=device)
        piece.normal_(generator=generator).add_(centres[which])
    return x


def measure_error(x: Tensor, centroids: Tensor) -> float:
    """Mean squared distance to the nearest centroid, in float32."""
    nearest = NearestCentroid(centroids.to(x.device))
    return sum(float(nearest.find(piece)[1].double().sum()) for piece in torch.split(x, ROWS_PER_PIECE)) / len(x)


def fit_ours(x: Tensor, codes: int, iterations: int, start: Tensor | None) -> Tensor:
    weights = torch.ones(len(x), device=x.device)
    return kmeans(x, weights, codes=codes, iterations=iterations, seed=SEED, tick=lambda _: None, start=start)


def fit_faiss(x: Tensor, codes: int, iterations: int, start: Tensor | None) -> Tensor:
    """Fit on all points, as ours does. x must be in the memory of the CPU."""
    fit = faiss.Kmeans(x.shape[1], codes, niter=iterations, max_points_per_centroid=len(x), seed=SEED, gpu=GPU)
    fit.train(x.numpy(), init_centroids=None if start is None else start.cpu().numpy())
    return torch.from_numpy(fit.centroids)


def time_call(call: Callable[[], Tensor]) -> Timed:
    clock, cpu = time.perf_counter(), time.process_time()
    result = call()
    if GPU:
        torch.cuda.synchronize()
    return time.perf_counter() - clock, time.process_time() - cpu, result


def measure_peak() -> float:
    """Floating-point operations a second of the card's bfloat16 product."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    seconds = [time_call(lambda: a @ a)[0] for _ in range(10)]
    return 2 * 8192**3 / min(seconds)


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000 if GPU else 1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--codes", type=int, default=8192 if GPU else 1024)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=1)
    flags = parser.parse_args()
    x = draw_mixture(flags.rows, flags.dim, 4 * flags.codes)
    our_start = time_call(partial(fit_ours, x, flags.codes, 0, None))
    start, x_on_cpu = our_start[2], x.cpu()
    ways: dict[str, tuple[Fit, Tensor | None]] = {"ours": (fit_ours, start)}
    if not GPU or faiss.get_num_gpus():
        ways |= {"faiss, the same start": (fit_faiss, start), "faiss, its own start": (fit_faiss, None)}
    runs: dict[str, list[Timed]] = {name: [] for name in ways}
    for _ in range(flags.repeats):
        for name, (fit, fit_start) in ways.items():
            points = x_on_cpu if fit is fit_faiss else x
            runs[name].append(time_call(partial(fit, points, flags.codes, flags.iterations, fit_start)))
    rows = [build_row("our k-means++ start", [our_start], x, 0)]
    rows += [build_row(name, way_runs, x, flags.iterations) for name, way_runs in runs.items()]
    if GPU:
        operations = 2 * flags.rows * flags.dim * flags.codes * flags.iterations
        rows[1]["share_of_peak"] = round(operations / float(rows[1]["seconds"]) / measure_peak(), 3)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    machine = f"{describe_machine('torch')}, faiss {faiss.__version__}"
    show(rows, f"{flags.rows:,} x {flags.dim}, {flags.codes} codes; {machine}")


def build_row(name: str, runs: list[Timed], x: Tensor, iterations: int) -> Row:
    seconds = [run[0] for run in runs]
    return {
        "way": name,
        "seconds": round(statistics.median(seconds), 2),
        "fastest": round(min(seconds), 2),
        "slowest": round(max(seconds), 2),
        "core_seconds": round(statistics.median(run[1] for run in runs), 2),
        "seconds_per_iteration": round(statistics.median(seconds) / max(1, iterations), 3),
        "error": round(measure_error(x, runs[-1][2]), 5),
    }


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if column == "way" else "right")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
