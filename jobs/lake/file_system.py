"""Open a path of this machine or an address in an object store. Runs on Spark's executors, too."""

import pyarrow.fs as pafs

from jobs.runtime.executors import send_with_tasks


def comes_from_store(error: BaseException) -> bool:
    """Whether the object store failed or did not answer. What it holds may be whole."""
    return any(words in str(error) for words in ("AWS Error", "Generic S3 error"))  # of Arrow, of deltalake


def open_file_system(address: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a path, or of an address such as `s3://bucket/folder`, and the path in it."""
    scheme, is_remote, path = address.partition("://")
    if not is_remote:
        return pafs.LocalFileSystem(), address
    bucket = path.partition("/")[0]
    # Arrow would decode % in the rest of the address, which names a file as it is.
    return pafs.FileSystem.from_uri(f"{scheme}://{bucket}")[0], path


send_with_tasks(__name__)
