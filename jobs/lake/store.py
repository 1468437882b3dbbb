"""Where tables and files are: a folder of this machine, or an address in an object store.

An object store is written as `s3://bucket/folder`. The usual variables say how to reach it: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION and, unless it is Amazon's, AWS_ENDPOINT_URL.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable

from jobs.lake.errors import UserError
from jobs.lake.file_system import open_file_system

SCHEMES = ("s3",)
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
DATASETS_KEPT = 64
_DATASETS: dict[tuple[str, ...], ds.Dataset] = {}
COMPLETE = "_SUCCESS"  # the last file of a folder: in an object store, a folder has its name before it is complete


def is_remote(address: str) -> bool:
    """Whether an address is in an object store."""
    return "://" in address


def normal_address(address: str) -> str:
    """Write an address in one way: an absolute path, or `s3://bucket/folder`.

    raises  UserError if nothing can be read or written there
    """
    scheme, colon, rest = address.partition(":")
    if scheme.lower() == "file" and colon and rest.startswith("/"):
        parts = urlsplit(address)
        if parts.netloc:
            raise UserError(f"{address} names the machine {parts.netloc}; write file:///folder")
        return str(Path(unquote(parts.path)).resolve())
    if not is_remote(address):
        return str(Path(address).resolve())
    scheme = {"s3a": "s3", "s3n": "s3"}.get(scheme.lower(), scheme.lower())
    bucket, _, folder = rest.lstrip("/").rstrip("/").partition("/")
    if scheme not in SCHEMES:
        raise UserError(f"{address}: a lake or landing folder is a path, file:///folder or s3://bucket/folder")
    if not BUCKET.fullmatch(bucket):
        raise UserError(f"{address}: {bucket!r} is no name of a bucket; write s3://bucket/folder")
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        os.environ.setdefault("AWS_ALLOW_HTTP", "true")  # deltalake asks for it
    return "/".join([f"{scheme}:/", bucket, *filter(None, folder.split("/"))])


def open_store(address: str) -> tuple[pafs.FileSystem, str]:
    """The file system of an address, and the path in it."""
    return open_file_system(normal_address(address))


def arrow_dataset(table: DeltaTable) -> ds.Dataset:
    """The rows of a table as an Arrow dataset. Arrow itself reads the files.

    By default deltalake gives Arrow a file system in Python. A process that ends while Arrow's threads read ahead,
    such as after an error in the middle of a stream, then crashes or hangs.

    The datasets of a process are kept: for a table of a thousand files, it takes half a second to make one.
    """
    files = (table.table_uri, *table.file_uris())  # no name of a file is used twice
    if files not in _DATASETS:
        if len(_DATASETS) >= DATASETS_KEPT:
            _DATASETS.clear()
        store, root = open_store(unquote(table.table_uri) if table.table_uri.startswith("s3") else table.table_uri)
        _DATASETS[files] = table.to_pyarrow_dataset(filesystem=pafs.SubTreeFileSystem(root, store))
    return _DATASETS[files]


def spark_address(path: str) -> str:
    """An address as Spark reads it. A path without a scheme would be one of the cluster's own file system."""
    return path.replace("s3://", "s3a://", 1) if is_remote(path) else f"file:{path}"


def write_file(store: pafs.FileSystem, path: str, content: bytes) -> None:
    """Write or replace a file, completely or not at all."""
    if not isinstance(store, pafs.LocalFileSystem):  # an object appears when it is complete
        with store.open_output_stream(path) as file:
            file.write(content)
        return
    folder, _, name = path.rpartition("/")
    store.create_dir(folder, recursive=True)
    part = f"{folder}/.{name}.{os.getpid()}.part"
    with store.open_output_stream(part) as file:
        file.write(content)
    store.move(part, path)


def list_files(store: pafs.FileSystem, folder: str) -> Iterator[pafs.FileInfo]:
    """The files below a folder, sorted by path; no file if there is no folder."""
    infos = store.get_file_info(pafs.FileSelector(folder, allow_not_found=True, recursive=True))
    yield from sorted((info for info in infos if info.type == pafs.FileType.File), key=lambda info: str(info.path))
