"""Make text from logs safe to show: file names, IDs and titles may hold characters that a terminal obeys."""

import re

# Control characters (a terminal obeys escape sequences, such as those of colours and window titles), line separators,
# characters that reverse the direction of text, and halves of characters, which cannot be written as UTF-8.
_UNSAFE = r"\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE_IN_LINE = re.compile(rf"[\x00-\x1f{_UNSAFE}]")
_UNSAFE_IN_PAGE = re.compile(rf"[\x00-\x08\x0b-\x1f{_UNSAFE}]")  # tabs and line ends are harmless in HTML


def printable(text: str) -> str:
    r"""One line that a terminal shows and does not obey: `\x1b[31m` appears as these six characters."""
    return _UNSAFE_IN_LINE.sub(_escape, text)


def printable_page(text: str) -> str:
    """The same for text on an HTML page, where lines may end. It still has to be escaped as HTML."""
    return _UNSAFE_IN_PAGE.sub(_escape, text)


def _escape(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode()
