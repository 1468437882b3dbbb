"""Where the reports lie: `<LAKE>/reports/<day>.html`, in a folder or an object store."""

from datetime import date

from pyarrow import fs

from jobs.lake import Lake


def publish(lake: Lake, name: str, html: str) -> str:
    """Put a whole page in its place at once: a reader sees the old or the new one. returns its address"""
    store, root = _store(lake)
    store.create_dir(f"{root}/reports")
    with store.open_output_stream(f"{root}/reports/.{name}.new") as file:
        file.write(html.encode())
    store.move(f"{root}/reports/.{name}.new", f"{root}/reports/{name}.html")
    return f"{lake.root}/reports/{name}.html"


def report_address(lake: Lake, day: date) -> str | None:
    return f"{lake.root}/reports/{day}.html" if _is_file(lake, f"reports/{day}.html") else None


def data_docs_link(lake: Lake) -> str:
    """Great Expectations' pages as seen from a report; empty if there are none."""
    return "../data_docs/index.html" if _is_file(lake, "data_docs/index.html") else ""


def _is_file(lake: Lake, path: str) -> bool:
    store, root = _store(lake)
    return bool(store.get_file_info(f"{root}/{path}").type == fs.FileType.File)


def _store(lake: Lake) -> tuple[fs.FileSystem, str]:
    if "://" not in lake.root:
        return fs.LocalFileSystem(), lake.root
    store, root = fs.FileSystem.from_uri(lake.root.replace("s3a://", "s3://"))
    return store, root
