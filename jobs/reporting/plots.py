"""Draw plots as inline SVG that takes its colours from the page, so that it suits a light and a dark page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

# matplotlib cannot draw in CSS variables: draw in colours that nothing else uses, then replace them in the SVG.
_INK, _FAINT = "#010203", "#010204"
_SERIES_COLOURS = {f"#0102{10 + n}": f"var(--series-{n + 1})" for n in range(4)}
_PAGE_COLOURS = {_INK: "currentColor", _FAINT: "var(--line)", **_SERIES_COLOURS}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.size": 9, "axes.edgecolor": _FAINT, "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _FAINT, "ytick.color": _FAINT, "xtick.labelcolor": _INK, "ytick.labelcolor": _INK,
    "grid.color": _FAINT, "grid.linewidth": 0.5, "axes.spines.top": False, "axes.spines.right": False,
    "legend.frameon": False, "legend.fontsize": 9,
}  # fmt: skip


@dataclass(frozen=True)
class Series:
    """One line, or one part of the bars. None leaves a gap. `low` and `high` are the ends of the intervals."""

    name: str
    values: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    colour: int = 0
    dashed: bool = False

    @property
    def has_values(self) -> bool:
        return any(value is not None for value in self.values)

    @property
    def stroke(self) -> str:
        return list(_SERIES_COLOURS)[self.colour]


def day_labels(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The days of these rows as labels of an axis, such as `Nov 20`."""
    return [f"{row['day']:%b %-d}" for row in rows]


def plot_lines(
    title: str, labels: Sequence[str], series: Sequence[Series], height: float, *, percent: bool = False
) -> Markup:
    """A line for each series, with its intervals as vertical bars. Empty if there are no labels."""
    if not labels:
        return Markup("")
    with matplotlib.rc_context(_STYLE):
        figure, axes = _new_figure(4.8, height)
        shown = [s for s in series if s.has_values]
        for place, line in enumerate(shown):
            shift = 0.06 * (place - (len(shown) - 1) / 2) if line.low else 0.0  # intervals do not overlap
            xs = [x + shift for x in range(len(labels))]
            style: dict[str, Any] = {"ls": "--" if line.dashed else "-", "lw": 1.4, "marker": "o", "markersize": 3}
            axes.plot(xs, _as_floats(line.values), color=line.stroke, label=line.name, **style)
            if line.low and line.high:
                axes.vlines(xs, _as_floats(line.low), _as_floats(line.high), color=line.stroke, lw=1)
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
            axes.set_ylim(bottom=0)
        return _finish(title, figure, axes, labels, len(shown))


def plot_bars(title: str, labels: Sequence[str], parts: Sequence[Series]) -> Markup:
    """A bar for each label, made of stacked parts. Empty if there are no labels."""
    if not labels:
        return Markup("")
    with matplotlib.rc_context(_STYLE):
        figure, axes = _new_figure(4.8, 2.4)
        bottoms = [0.0] * len(labels)
        for part in parts:
            heights = [value or 0.0 for value in part.values]
            axes.bar(range(len(labels)), heights, bottom=bottoms, color=part.stroke, width=0.6, label=part.name)
            bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        return _finish(title, figure, axes, labels, len(parts))


def plot_usage(title: str, counts: Sequence[int], size: int) -> Markup:
    """The number of items of each code, the fullest code first. Unused codes leave the end of the axis empty.

    counts  of the used codes, sorted
    size    number of codes, used or not
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _new_figure(3.6, 1.8)
        axes.fill_between(range(len(counts)), counts, step="post", color=next(iter(_SERIES_COLOURS)), linewidth=0)
        axes.set_xlim(0, max(size, len(counts), 1))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("codes, most items first")
        axes.set_ylabel("items")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return _to_svg(title, figure)


def _new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return figure, axes


def _finish(title: str, figure: Figure, axes: Axes, labels: Sequence[str], series_count: int) -> Markup:
    """Label the axes, add a legend if there are several series, and return the SVG."""
    step = -(-len(labels) // 6)  # at most six labels fit
    axes.set_xticks(range(0, len(labels), step), list(labels)[::step])
    margin = 0.5 if len(labels) > 1 else 1.5  # without it, a single bar would fill the plot
    axes.set_xlim(-margin, len(labels) - 1 + margin)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if series_count > 1:
        figure.legend(loc="outside upper left", ncols=series_count, handlelength=1.4, columnspacing=1.2)
    return _to_svg(title, figure)


def _as_floats(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _to_svg(title: str, figure: Figure) -> Markup:
    file = StringIO()
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    with matplotlib.rc_context({"svg.hashsalt": title}):  # the same numbers give the same bytes
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # several plots share one page, so their ids would repeat
    head = rf'<svg role="img" aria-label="{escape(title)}" viewBox="\1" xmlns:xlink="http://www.w3.org/1999/xlink">'
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', head, svg, count=1)
    for drawn_colour, page_colour in _PAGE_COLOURS.items():
        svg = svg.replace(drawn_colour, page_colour)
    return Markup(svg)
