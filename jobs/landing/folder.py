"""The landing folder: a folder of this machine, or an address in an object store such as `s3://bucket/landing`."""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.fs as pafs

from jobs.lake import UserError
from jobs.lake.store import is_remote, list_files, normal_address, open_store


@dataclass(frozen=True)
class RemotePath:
    """A folder or file in an object store, with the methods of `Path` that landing folders need."""

    address: str

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(f"{self.address}/{name}")

    def exists(self) -> bool:
        store, path = open_store(self.address)
        return bool(store.get_file_info(path).type != pafs.FileType.NotFound)

    is_dir = is_file = exists

    def read_bytes(self) -> bytes:
        store, path = open_store(self.address)
        with store.open_input_stream(path, compression=None) as file:
            return bytes(file.read())

    def write_text(self, text: str, encoding: str) -> None:
        store, path = open_store(self.address)
        with store.open_output_stream(path) as file:
            file.write(text.encode(encoding))


LandingFolder = Path | RemotePath


def parse_folder(text: str) -> LandingFolder:
    """Read the landing folder of the command line, for argparse."""
    try:
        address = normal_address(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if is_remote(address):
        return RemotePath(address)
    return Path(address if text.lower().startswith("file:") else text)


@dataclass(frozen=True)
class Entry:
    """A file of the landing folder.

    path      absolute path, or address
    name      relative to the landing folder
    modified  when its content was last written, as the file says
    changed   when the file last changed in any way: a copy may keep the time of modification of the original
    """

    path: str
    name: str
    size: int
    modified: datetime
    changed: datetime


def walk(folder: LandingFolder) -> Iterator[Entry]:
    """Every file below the folder, sorted.

    raises  UserError for a link that leads nowhere or out of the folder, for a folder that cannot be read, and for a
            name that is not UTF-8
    """
    return _walk_store(folder) if isinstance(folder, RemotePath) else _walk_disk(folder)


def _walk_store(folder: RemotePath) -> Iterator[Entry]:
    store, root = open_store(folder.address)
    files = list(list_files(store, root))
    names = [str(file.path)[len(root) + 1 :] for file in files]
    runs = "ops/runs/_delta_log/"  # a lake in the landing folder: its tables are no logs
    lakes = {name.partition(runs)[0] for name in names if name.startswith(runs) or f"/{runs}" in name}
    for name, file in zip(names, files, strict=True):
        is_skipped = any(part[0] in "._" for part in name.split("/")[:-1] if part)
        if not is_skipped and not any(name.startswith(lake) for lake in lakes):
            modified = file.mtime.astimezone(UTC)
            yield Entry(f"{folder}/{name}", name, file.size, modified, modified)


def _walk_disk(folder: Path) -> Iterator[Entry]:
    root = folder.resolve()
    for parent, folders, names in os.walk(folder, onerror=_stop_at_unreadable):
        # Spark writes unfinished files into _temporary. A lake may lie in the landing folder: its tables are no logs.
        is_skipped = [name[0] in "._" or name == "lost+found" or _is_lake(Path(parent, name)) for name in folders]
        folders[:] = sorted(name for name, skip in zip(folders, is_skipped, strict=True) if not skip)
        for name in sorted([*names, *(name for name in folders if Path(parent, name).is_symlink())]):
            path = Path(parent, name)
            if path.is_symlink():
                _check_link(path, root)
            if path.is_file():
                yield _describe_file(path, folder)


def _describe_file(path: Path, folder: Path) -> Entry:
    name = path.relative_to(folder).as_posix()
    if name != name.encode("utf-8", "replace").decode():
        raise UserError(f"{str(os.fsencode(path))[1:]} has a name that is not UTF-8; rename it")
    state = path.stat()
    modified, changed = (datetime.fromtimestamp(seconds, UTC) for seconds in (state.st_mtime, state.st_ctime))
    return Entry(str(path.resolve()), name, state.st_size, modified, changed)


def _check_link(path: Path, root: Path) -> None:
    target = Path(os.path.realpath(path))  # unlike `resolve`, it accepts links in a circle
    if not target.exists():
        raise UserError(f"{path} is a link to a file that does not exist; land the file, or remove the link")
    if not target.is_relative_to(root) or target.is_dir():
        raise UserError(
            f"{path} is a link to {'a folder' if target.is_dir() else 'a file outside the landing folder'},"
            " which is not followed; land the files themselves, or remove the link"
        )


def _stop_at_unreadable(error: OSError) -> None:
    if isinstance(error, PermissionError):  # a folder may also vanish
        raise UserError(f"{error.filename} cannot be read ({error.strerror}); allow this user to read it")


def _is_lake(folder: Path) -> bool:
    return (folder / "ops" / "runs" / "_delta_log").is_dir()
