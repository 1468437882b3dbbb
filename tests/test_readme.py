"""README, the pages in docs/ and their pictures say what is there."""

import ast
import re
import subprocess
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pytest

from docs import hooks
from jobs.lake.contracts import Column, Contract, contracts
from jobs.landing.dialect import Dialect
from jobs.landing.settings import Landing
from jobs.landing.toml import PRESETS
from jobs.settings.tree import Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TASKS = sorted(
    path.stem for path in (ROOT / "jobs").glob("*.py") if path.stem not in ("__init__", "simulate", "explain")
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_readme_is_short_and_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    assert "make run" in readme
    assert "make test" in readme


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


def test_a_page_with_generated_parts_says_so_in_the_repository_and_not_on_the_site() -> None:
    for path in (ROOT / "docs").glob("*.md"):
        text = path.read_text()
        parts = [part for part in hooks.PARTS if f"<!-- {part} -->" in text]
        assert text.count(hooks.NOTE) == len(parts), path
        assert hooks.NOTE not in hooks.on_page_markdown(text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    code = re.findall(
        r"`((?:jobs|models|sql|dags|bench|bin|tests|expectations|profiles|docs)/[\w./-]+)`", page.read_text()
    )
    assert [path for path in code if not (ROOT / path).exists()] == []


def test_every_setting_has_a_meaning_a_variable_and_values() -> None:
    settings = [setting for _, _, settings in hooks.sections(Settings) for setting in settings]
    assert [f"{s.section}.{s.key}" for s in settings if not s.meaning] == []
    page = hooks.settings_part()
    assert [s.variable for s in settings if f"`{s.variable}`" not in page] == []
    assert [s.key for s in settings if not s.values] == []
    assert len(settings) == len(flat(Settings().model_dump()))


def flat(values: dict[str, object]) -> list[object]:
    """All leaves of the settings tree; the profile's name is none, and a table of a setting is one, also if empty."""
    inner = [value for key, value in values.items() if key not in ("profile", "lists")]
    leaves = [[value] if not isinstance(value, dict) or not value else flat(value) for value in inner]
    return [*chain.from_iterable(leaves), *(["lists"] if "lists" in values else [])]


def test_an_inner_section_shows_the_comment_that_the_outer_section_gives_it() -> None:
    abouts = {name: about for name, about, _ in hooks.sections(Settings)}
    assert abouts["judge.llm"].endswith('\n\nThe language models; only with kind = "llm".')
    assert "\n" not in abouts["judge"]


def test_comments_of_a_setting_are_found_beside_and_above_it() -> None:
    source = """class Example:
    beside: int = 1  # one
    lists: int = call(
        2
    )  # two
    # three
    # and four
    above: int = 3
    bare: int = 4
"""
    assert hooks.comments_in(source) == {"beside": "one", "lists": "two", "above": "three and four"}


def test_the_page_of_own_logs_lists_each_key_of_landing_toml_and_each_preset() -> None:
    page = hooks.landing_part() + hooks.presets_part()
    assert [key for key in (*Landing.model_fields, *Dialect.model_fields) if f"| `{key}` |" not in page] == [
        "events",
        "items",
    ]
    assert [path.stem for path in PRESETS.glob("*.toml") if f"| `{path.stem}` |" not in page] == []
    assert "view_item_list: impression" in page
    text = (ROOT / "docs" / "own-logs.md").read_text()
    assert all(f"<!-- {part} -->" in text for part in ("landing", "presets"))


def test_every_column_of_every_table_has_a_meaning() -> None:
    page = hooks.tables_part()
    for contract in contracts().values():
        assert f"### {contract.name} " in page
        assert contract.comment
        assert [column.name for column in contract.columns if not column.comment] == []
    assert page.count("\n| `") == sum(len(contract.columns) for contract in contracts().values())


def test_every_view_says_what_it_answers() -> None:
    assert [view for view, comment in hooks.views().items() if not comment] == []
    assert all(f"`{view}`" in hooks.views_part() for view in hooks.views())


def test_a_bar_or_a_tag_in_a_comment_does_not_break_its_row() -> None:
    column = Column("sid", "STRING", pa.string(), True, "a | b, <c>")
    section = hooks.table_section(Contract("gold.example", (column,), (), {}, "An example."))
    assert "| a \\| b, &lt;c> |" in section


def test_every_task_has_its_part_on_the_page_of_tasks() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/tasks.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted([*TASKS, "wait"])  # the DAG's own task, which runs no job


def test_what_the_page_of_papers_names_is_in_its_file() -> None:
    rows = re.findall(r"^\|[^|]*\| `([\w/.]+)` \| (.*) \|$", (ROOT / "docs/papers.md").read_text(), re.MULTILINE)
    assert len(rows) > 40
    assert [
        (path, name) for path, cell in rows for name in re.findall(r"`(\w+)`", cell) if name not in names(path)
    ] == []


def names(path: str) -> set[str]:
    """Functions, classes and values that a file defines."""
    body = ast.parse((ROOT / path).read_text()).body
    defined = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return defined | {
        t.id for node in body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)
    }


def diffs() -> list[str]:
    return re.findall(r"```diff\n(.*?)```", (ROOT / "docs/contributing.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(diffs())))
def test_the_diffs_of_the_contributing_page_apply(number: int) -> None:
    done = subprocess.run(
        ["git", "apply", "--check", "-"], cwd=ROOT, input=diffs()[number], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
