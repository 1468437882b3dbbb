"""Write the reports to `<LAKE>/reports/<day>.html`, in a folder or an object store, and find them there."""

from datetime import date

from pyarrow import fs

from jobs.lake import Lake


def publish_page(lake: Lake, name: str, html: str) -> str:
    """Write a page and return its address. A reader sees the whole old page or the whole new one."""
    store, root = _open_store(lake)
    store.create_dir(f"{root}/reports")
    with store.open_output_stream(f"{root}/reports/.{name}.new") as file:
        file.write(html.encode())
    store.move(f"{root}/reports/.{name}.new", f"{root}/reports/{name}.html")
    return f"{lake.root}/reports/{name}.html"


def find_report(lake: Lake, day: date) -> str | None:
    """The address of the report of a day, None if there is no report."""
    return f"{lake.root}/reports/{day}.html" if _is_file(lake, f"reports/{day}.html") else None


def data_docs_link(lake: Lake) -> str:
    """The link from a report to the pages of Great Expectations. Empty if there are no such pages."""
    return "../data_docs/index.html" if _is_file(lake, "data_docs/index.html") else ""


def _is_file(lake: Lake, path: str) -> bool:
    store, root = _open_store(lake)
    return bool(store.get_file_info(f"{root}/{path}").type == fs.FileType.File)


def _open_store(lake: Lake) -> tuple[fs.FileSystem, str]:
    if "://" not in lake.root:
        return fs.LocalFileSystem(), lake.root
    store, root = fs.FileSystem.from_uri(lake.root.replace("s3a://", "s3://"))
    return store, root
