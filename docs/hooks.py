"""Fill pages while mkdocs builds (settings, tables, own logs), so that git holds no second copy of what the code says.

`mkdocs.yml` names this file under `hooks`. A page says where a part goes with a comment such as `<!-- settings -->`.
`NOTE` below the comment is for readers of the repository, and is left out of the site.
Settings come from the settings tree and the comments in its files; tables from `sql/tables` and `sql/views`.
"""

import ast
import inspect
import re
import tokenize
import tomllib
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jobs.lake.contracts import Contract, contracts
from jobs.lake.statements import LAYERS
from jobs.landing.dialect import Dialect
from jobs.landing.settings import Landing
from jobs.landing.toml import PRESETS
from jobs.settings.tree import PROFILES, Settings

VIEWS = PROFILES.parent / "sql" / "views"
NOTE = "*In the repository, the tables of this part are not filled in: run `make docs`, or see the site.*"
WORDS = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs for each page: put the generated parts in their places."""
    for name, make in PARTS.items():
        if (place := f"<!-- {name} -->") in markdown:
            markdown = markdown.replace(f"{place}\n\n{NOTE}", place).replace(place, make())
    return markdown


class Setting(NamedTuple):
    """One row of the page Settings."""

    section: str  # such as judge.llm.swing
    key: str
    values: str
    default: str
    meaning: str

    @property
    def variable(self) -> str:
        return "__".join(["SIDEREAL_" + self.section.replace(".", "__"), self.key]).upper()


def settings_part() -> str:
    """One heading and one table for each section."""
    parts = []
    for section, about, settings in sections(Settings):
        parts.append(f"## [{section}] {{ #{section.replace('.', '-')} }}\n\n{about}")
        rows = [(f"`{s.key}`\n`{s.variable}`", s.values, s.default, s.meaning) for s in settings]
        parts.append(table(("key and environment variable", "values", "default", "meaning"), rows))
    return "\n\n".join(parts)


def sections(model: type[BaseModel], name: str = "", note: str = "") -> Iterator[tuple[str, str, list[Setting]]]:
    """Every section below a model: its name, what it is, and its own settings. Inner sections come after outer ones.

    note  the comment of the section where the outer section names it
    """
    comments_by_setting = comments(model)
    settings, inner = [], []
    for key, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            inner.append((f"{name}.{key}".lstrip("."), kind, comments_by_setting.get(key, "")))
        elif name:
            meaning = comments_by_setting.get(key, "")
            settings.append(Setting(name, key, values(kind, field.metadata), default(field), meaning))
    if settings:
        about = summary(model) + (f"\n\n{note[0].upper()}{note[1:]}." if note else "")
        yield name, about, settings
    for inner_name, kind, inner_note in inner:
        yield from sections(kind, inner_name, inner_note)


def summary(model: type[BaseModel]) -> str:
    """The class's own docstring; pydantic would give a base class's."""
    return inspect.cleandoc(model.__dict__.get("__doc__") or "").replace("\n", " ")


def comments(model: type[BaseModel]) -> dict[str, str]:
    """The comment of each setting: after it on its lines, else on the lines above it; also of base classes."""
    comments_by_setting: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base.__module__.startswith("jobs."):
            comments_by_setting |= comments_in(inspect.getsource(base))
    return comments_by_setting


def comments_in(source: str) -> dict[str, str]:
    """The comment of each setting in the source text of one class."""
    lines = {
        token.start[0]: (token.string.lstrip("# "), not token.line[: token.start[1]].strip())
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }  # line -> text, whether it is alone on its line
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    comments_by_setting = {}
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last = node.end_lineno or node.lineno
            beside = [lines[n][0] for n in range(node.lineno, last + 1) if n in lines]
            above: list[str] = []
            while (n := node.lineno - 1 - len(above)) in lines and lines[n][1]:
                above.append(lines[n][0])
            if comment := " ".join(beside or reversed(above)):
                comments_by_setting[node.target.id] = comment
    return comments_by_setting


def values(kind: Any, metadata: list[Any]) -> str:
    """What a setting may be, in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return values(inner[0], [*inner[1:], *metadata])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner if value != "")
    if origin in (Union, UnionType):
        return values(next(part for part in inner if part is not NoneType), metadata)
    if origin is tuple:
        each = values(inner[0], [])
        return f"list of {each}" if inner[-1] is Ellipsis else f"list of {len(inner)}: {each}"
    if origin is dict:
        return f"table: {values(inner[0], [])} = {values(inner[1], [])}"
    limits = [text for part in metadata for limit in getattr(part, "metadata", [part]) for text in _limits(limit)]
    return " ".join([WORDS[kind], ", ".join(limits)]).strip()


def _limits(part: Any) -> Iterator[str]:
    words = {"ge": "≥ ", "gt": "> ", "le": "≤ ", "lt": "< ", "multiple_of": "multiple of "}
    for name, word in words.items():
        if (limit := getattr(part, name, None)) is not None:
            yield f"{word}{limit:,}"


def default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", (), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def landing_part() -> str:
    """The keys of `landing.toml`: those at its top, and those of [events] and [items]."""
    parts = []
    for model, head in ((Landing, "key"), (Dialect, "key in `[events]` or `[items]`")):
        _, _, settings = next(sections(model, "landing"))
        parts.append(table((head, "values", "default", "meaning"), [(f"`{s.key}`", *s[2:]) for s in settings]))
    return "\n\n".join(parts)


def presets_part() -> str:
    """Each preset: its leading comment, and the events that it knows."""
    rows = []
    for path in sorted(PRESETS.glob("*.toml")):
        text = path.read_text()
        about = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
        names = tomllib.loads(text)["events"].get("names", {})
        events = "\n".join(f"{'all others' if name == '*' else name}: {event}" for name, event in names.items())
        rows.append((f"`{path.stem}`", about, events))
    return table(("preset", "export", "its events and what they are"), rows)


def profiles_part() -> str:
    """Each profile: its leading comment and what it sets."""
    parts = []
    for path in sorted(PROFILES.glob("*.toml")):
        text = path.read_text()
        about = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
        changed = {name: keys for name, keys in tomllib.loads(text).items() if isinstance(keys, dict)}
        rows = [(f"`[{name}] {key}`", f"`{value}`") for name, keys in changed.items() for key, value in keys.items()]
        parts.append(f"**`{path.stem}`**: {about}")
        parts.append(table(("setting", "value"), rows) if rows else "It changes nothing: all defaults.")
    return "\n\n".join(parts)


def tables_part() -> str:
    """One heading for each layer, one table for each table of it."""
    parts = []
    for layer in LAYERS:
        parts.append(f"## {layer}")
        parts += [table_section(contract) for name, contract in contracts().items() if name.startswith(f"{layer}.")]
    return "\n\n".join(parts)


def table_section(contract: Contract) -> str:
    partitions = ", ".join(f"`{name}`" for name in contract.partitions) or "none"
    checks = "".join(f" Check: `{rule}`." for rule in contract.checks.values())
    rows = [(f"`{c.name}`", f"`{c.type.lower()}`", "yes" if c.nullable else "no", c.comment) for c in contract.columns]
    anchor = contract.name.replace(".", "-")
    return "\n\n".join(
        [
            f"### {contract.name} {{ #{anchor} }}",
            f"{contract.comment} Partitions: {partitions}.{checks}",
            table(("column", "type", "null", "meaning"), rows),
        ]
    )


def views() -> dict[str, str]:
    """Every view and the comment it is created with."""
    comment_by_view = {}
    for path in sorted(VIEWS.glob("*.sql")):
        comment = re.search(r"COMMENT '((?:[^'\\]|\\.)*)'", path.read_text())
        comment_by_view[path.stem] = re.sub(r"\\(.)", r"\1", comment[1]) if comment else ""
    return comment_by_view


def views_part() -> str:
    return table(("view", "what it answers"), [(f"`{name}`", text) for name, text in views().items()])


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *(tuple(map(escape, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Text of a cell: a bar or a tag in it must not end the cell or start HTML. Code keeps its tags."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts).replace("\n", "<br>")


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_part,
    "profiles": profiles_part,
    "landing": landing_part,
    "presets": presets_part,
    "tables": tables_part,
    "views": views_part,
}
