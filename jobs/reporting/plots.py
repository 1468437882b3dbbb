"""Plots as inline SVG that take their colours from the page, so that they suit light and dark alike."""

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

# Drawn in colours that nothing else uses, then replaced by the page's own: matplotlib knows no CSS variable.
_INK, _FAINT = "#010203", "#010204"
_COLOURS = {f"#0102{10 + n}": f"var(--series-{n + 1})" for n in range(4)}
_PAGE = {_INK: "currentColor", _FAINT: "var(--line)", **_COLOURS}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.size": 9, "axes.edgecolor": _FAINT, "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _FAINT, "ytick.color": _FAINT, "xtick.labelcolor": _INK, "ytick.labelcolor": _INK,
    "grid.color": _FAINT, "grid.linewidth": 0.5, "axes.spines.top": False, "axes.spines.right": False,
    "legend.frameon": False, "legend.fontsize": 9,
}  # fmt: skip


@dataclass(frozen=True)
class Series:
    """One line or one part of the bars; None leaves a gap. `low` and `high` are the ends of the intervals."""

    name: str
    values: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    colour: int = 0
    dashed: bool = False

    @property
    def drawn(self) -> bool:
        return any(value is not None for value in self.values)

    @property
    def stroke(self) -> str:
        return list(_COLOURS)[self.colour]


def lines(title: str, xs: Sequence[str], series: Sequence[Series], height: float, *, percent: bool = False) -> Markup:
    """A line per series over the named places `xs`, with the intervals as bars."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.8, height)
        shown = [one for one in series if one.drawn]
        for place, one in enumerate(shown):
            at = [x + 0.06 * (place - (len(shown) - 1) / 2) for x in range(len(xs))]  # intervals side by side
            style = "--" if one.dashed else "-"
            marked: dict[str, Any] = {"marker": "o", "markersize": 3}
            axes.plot(at, _gaps(one.values), style, color=one.stroke, label=one.name, lw=1.4, **marked)
            if one.low and one.high:
                axes.vlines(at, _gaps(one.low), _gaps(one.high), color=one.stroke, lw=1)
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
            axes.set_ylim(bottom=0)
        return _finish(title, figure, axes, xs, len(shown))


def bars(title: str, xs: Sequence[str], parts: Sequence[Series]) -> Markup:
    """Bars of stacked parts."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.8, 2.4)
        base = [0.0] * len(xs)
        for part in parts:
            tall = [value or 0.0 for value in part.values]
            axes.bar(range(len(xs)), tall, bottom=base, color=part.stroke, width=0.6, label=part.name)
            base = [below + value for below, value in zip(base, tall, strict=True)]
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        return _finish(title, figure, axes, xs, len(parts))


def usage(title: str, counts: Sequence[int], size: int) -> Markup:
    """Items per code, the fullest code first; unused codes are the empty rest of the axis."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(3.6, 1.8)
        axes.fill_between(range(len(counts)), counts, step="post", color=next(iter(_COLOURS)), linewidth=0)
        axes.set_xlim(0, max(size, len(counts), 1))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("codes, fullest first")
        axes.set_ylabel("items")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return _svg(title, figure)


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return figure, axes


def _finish(title: str, figure: Figure, axes: Axes, xs: Sequence[str], shown: int) -> Markup:
    step = -(-len(xs) // 6) or 1
    axes.set_xticks(range(0, len(xs), step), list(xs)[::step])
    edge = 0.5 if len(xs) > 1 else 1.5  # a single bar would fill the plot
    axes.set_xlim(-edge, len(xs) - 1 + edge)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if shown > 1:
        figure.legend(loc="outside upper left", ncols=shown, handlelength=1.4, columnspacing=1.2)
    return _svg(title, figure)


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _svg(title: str, figure: Figure) -> Markup:
    text = StringIO()
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    with matplotlib.rc_context({"svg.hashsalt": title}):  # the same numbers give the same bytes
        figure.savefig(text, format="svg", metadata={"Date": None})
    body = text.getvalue()
    body = body[body.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # several plots share one page, so ids would repeat
    head = rf'<svg role="img" aria-label="{escape(title)}" viewBox="\1" xmlns:xlink="http://www.w3.org/1999/xlink">'
    body = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', head, body, count=1)
    for drawn, page in _PAGE.items():
        body = body.replace(drawn, page)
    return Markup(body)
