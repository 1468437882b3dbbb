"""What the bench `fuzz_landing` does to the rows, the text and the bytes of files."""

import gzip
import json
import random
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Change = Callable[[Any, random.Random], Any]


def _rename(rows: list[Row], rng: random.Random) -> list[Row]:
    old = rng.choice(list(rows[0]))
    new = rng.choice([
        old.upper(), f" {old} ", f"{old}s", f'{old}"', "line", "raw", "problem", "row", "a.b", "", "x\\", "f_ts", "名",
        old + "\n", "$", "*", "'",
    ])  # fmt: skip
    return [{new if name == old else name: value for name, value in row.items()} for row in rows]


def _drop(rows: list[Row], rng: random.Random) -> list[Row]:
    name = rng.choice(list(rows[0]))
    return [{key: value for key, value in row.items() if key != name} for row in rows]


def _set_value(rows: list[Row], rng: random.Random) -> list[Row]:
    values: list[Any] = [
        "", " ", "null", "NaN", "a\u00a0", "\ta\n", "\ufeffa", "-1", "1e999", "0x10", "1,5", "9" * 400, "é" * 300,
        "[1]", '{"a": 1}', "2026-11-20", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "infinity", "1e18",
        "294247-01-10T04:00:54Z", "-1795165200", "1795165200", "20:00", "\x00", "a\x00b", "\x1b[31m", "\u2028",
        "x" * 300,
    ]  # fmt: skip
    name, value = rng.choice(list(rows[0])), rng.choice(values)
    return [row | {name: value} if rng.random() < 0.5 else row for row in rows]


def _set_other_type(rows: list[Row], rng: random.Random) -> list[Row]:
    values: list[Any] = [
        1, -1.5, True, None, 2**63, -(2**63), 10**30, 1e308, float("nan"), float("inf"), ["a"], [], {"a": 1}, {},
        [{"a": None}], {"a": {"b": ["c"]}}, [[1], [2]],
    ]  # fmt: skip
    name, value = rng.choice(list(rows[0])), rng.choice(values)
    if isinstance(value, int) and abs(value) > 2**62:
        value = float(value)
    return [row | {name: value} for row in rows]


ROWS: dict[str, Change] = {
    "column renamed": _rename, "column dropped": _drop, "odd values": _set_value, "other type": _set_other_type,
}  # fmt: skip


def _edit_lines(text: str, rng: random.Random, edit: Callable[[str], str], share: float = 0.2) -> str:
    return "".join(edit(line) if rng.random() < share else line for line in text.splitlines(keepends=True))


def _insert(part: str) -> Change:
    def change(text: str, rng: random.Random) -> str:
        for _ in range(rng.randint(1, 5)):
            place = rng.randrange(len(text))
            text = text[:place] + part + text[place:]
        return text

    return change


def _replace(old: str, new: str, share: float = 1.0) -> Change:
    return lambda text, rng: "".join(new if c == old and rng.random() < share else c for c in text)


def _nest(text: str, rng: random.Random) -> str:
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}")])
    deep = rng.choice([10, 1_000, 50_000, 200_000])
    value = opening * deep + "1" + closing * deep * rng.choice([0, 1, 1])
    return _edit_lines(text, rng, lambda line: line.replace("{", '{"deep": ' + value + ", ", 1))


def _duplicate_key(text: str, rng: random.Random) -> str:
    key = rng.choice(["item_id", "ITEM_ID", "Item_Id", "price", "ts", "line"])
    return _edit_lines(text, rng, lambda line: line.replace("{", f'{{"{key}": "5", ', 1))


def _duplicate_column(text: str, rng: random.Random) -> str:
    name, shift = rng.choice(["item_id", "ITEM_ID", "x", "more", "", "line"]), rng.choice(["5,", "", '"5",'])
    head, _, rest = text.partition("\n")
    return f"{name},{head}\n" + _edit_lines(rest, rng, lambda line: shift + line, 1.0)


def _move_header(text: str, rng: random.Random) -> str:
    head, *lines = text.splitlines(keepends=True)
    lines.insert(rng.randint(0, len(lines)), head)
    return "".join(lines if rng.random() < 0.3 else [head, *lines])


CONTROLS = "\x01\x08\x0b\x0c\x1a\x1b\x1e\x7f\x85\u2028"
TEXTS: dict[str, Change] = {
    "quotes inserted": _insert('"'), "quotes removed": _replace('"', "", 0.05), "NUL characters": _insert("\x00"),
    "control characters": lambda text, rng: _insert(rng.choice(CONTROLS))(text, rng),
    "byte order mark": lambda text, rng: "\ufeff" + text, "byte order marks": _insert("\ufeff"),
    "line ends CR": _replace("\n", "\r"), "line ends CRLF": _replace("\n", "\r\n"),
    "line ends mixed": lambda text, rng: "".join(rng.choice("\n\r\n") if c == "\n" else c for c in text),
    "line ends inserted": _insert("\n"), "lines joined": _replace("\n", "", 0.3),
    "no line end": lambda text, rng: text.rstrip(),
    "huge field": lambda text, rng: _insert("x" * rng.choice([70_000, 1_048_576, 3_000_000]))(text, rng),
    "empty": lambda text, rng: rng.choice(["", "\n", " ", "\ufeff", text.splitlines()[0]]),
    "lone surrogates": _insert("\ud800"), "backslashes": _insert("\\"),
}  # fmt: skip
JSON_TEXTS: dict[str, Change] = {
    "deep nesting": _nest, "keys twice": _duplicate_key,
    "escaped characters": lambda text, rng: _edit_lines(
        text, rng, lambda line: line.replace('": "', '": "' + rng.choice([r"\ud800", r"\u0000", r"\udc00x", r"\n "]), 2)
    ),
    "a list": lambda text, rng: "[" + ",".join(text.splitlines()) + "]",
    "pretty-printed": lambda text, rng: "".join(
        json.dumps(json.loads(line), indent=2) + "\n" for line in text.splitlines()
    ),
    "commas removed": _replace(",", "", 0.02),
}  # fmt: skip
CSV_TEXTS: dict[str, Change] = {
    "column twice": _duplicate_column, "header moved": _move_header, "delimiters inserted": _insert(","),
    "delimiters removed": _replace(",", "", 0.02),
    "other delimiter": lambda text, rng: text.replace(",", rng.choice(";\t|:")),
    "some other delimiters": _replace(",", ";", 0.05),
    "line end in header": lambda text, rng: '"a\nb",' + text.replace("\n", "\n1,"),
    "row without end": lambda text, rng: text + '"\n",' * 5_000,
}  # fmt: skip


def _encode(name: str) -> Change:
    return lambda data, rng: data.decode().encode(name, "replace")


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _repeat(data: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.choices(range(len(data)), k=2))
    return data[:last] + data[first:]


def _remove(data: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.choices(range(len(data)), k=2))
    return data[:first] + data[last:]


ENCODINGS: dict[str, Change] = {
    name: _encode(name)
    for name in ("latin-1", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32", "cp037", "utf-7")
}  # fmt: skip
GZIPS: dict[str, Change] = {
    "compressed twice": lambda data, rng: gzip.compress(data),
    "gzip cut": lambda data, rng: data[: rng.randrange(len(data))],
    "a second member, cut": lambda data, rng: data + data[: rng.randrange(1, len(data))],
    "bytes after gzip": lambda data, rng: data + rng.choice([b"\0" * 512, b"x", b"\n", b"\x1f\x8b"]),
    "not compressed": lambda data, rng: gzip.decompress(data),
}
BYTES: dict[str, Change] = {
    "bytes flipped": _flip, "bytes repeated": _repeat, "bytes removed": _remove,
    "cut": lambda data, rng: data[: rng.randrange(len(data))],
    "start cut": lambda data, rng: data[rng.randrange(len(data)) :],
    "zeros at the end": lambda data, rng: data + b"\0" * 512,
    "random bytes": lambda data, rng: rng.randbytes(len(data)),
    "twice": lambda data, rng: data + data,
}  # fmt: skip
