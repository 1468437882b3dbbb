"""Make text from logs safe to print. The jobs have the same in `jobs.runtime.printable`, for their own environment."""

from __future__ import annotations


def printable(text: str) -> str:
    """Write characters that a terminal obeys or hides, such as escape sequences in the name of a file, as codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
