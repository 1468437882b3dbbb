"""The README says what is there."""

from pathlib import Path

from jobs.lake.contracts import contracts

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_every_column_of_every_table_stands_in_the_readme() -> None:
    for contract in contracts().values():
        section = README.split(f"**`{contract.name}`**")[1].split("**`")[0]
        assert contract.comment in section
        assert [c.name for c in contract.columns if f"`{c.name}` {c.type.lower()}" not in section] == []
