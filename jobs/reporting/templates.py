"""Turn values into HTML: the page templates, how they write numbers, and the terms that they explain."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from jobs.reporting.metrics import Row
from jobs.reporting.terms import TERMS
from jobs.runtime.printable import printable_page

NO_VALUE = "\N{EN DASH}"


def render(template: str, **values: Any) -> str:
    """Fill one of the files in templates/. Text is escaped, so that no data can become markup or be hidden."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_show_control_characters,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {**FORMATS, "format_as": format_as, "interval": interval}
    environment.globals |= {"term": term, "terms": TERMS}
    return environment.get_template(template).render(**values)


def _show_control_characters(value: Any) -> Any:
    """Called by Jinja for each value: markup stays unchanged, because we made it."""
    return printable_page(value) if type(value) is str else value


def term(name: str, text: str = "") -> Markup:
    """The term, or `text` instead of it, with its explanation as a tooltip. Raises KeyError if it has none."""
    return Markup('<abbr title="{}">{}</abbr>').format(TERMS[name], text or name)


def interval(row: Row | None) -> str:
    """A metric, and the ends of its interval in small type."""
    if not row or row["value"] is None:
        return NO_VALUE
    value, low, high = (FORMATS["four_decimals"](row[key]) for key in ("value", "ci_low", "ci_high"))
    if NO_VALUE in (low, high):
        return value
    return Markup("{} <small>{} to {}</small>").format(value, low, high)


def format_as(value: float | None, name: str) -> str:
    """Write a number in the format of that name."""
    return FORMATS[name](value)


def _number_format(form: str) -> Callable[[float | None], str]:
    def write(value: float | None) -> str:
        return NO_VALUE if value is None else form.format(value).replace("-", "\N{MINUS SIGN}")

    return write


FORMATS: dict[str, Callable[[float | None], str]] = {
    "whole": _number_format("{:,.0f}"),
    "one_decimal": _number_format("{:,.1f}"),
    "four_decimals": _number_format("{:.4f}"),
    "scientific": _number_format("{:.2e}"),
    "signed": _number_format("{:+.4f}"),
    "percent": lambda value: NO_VALUE if value is None else f"{100 * value:.2f} %",
}
