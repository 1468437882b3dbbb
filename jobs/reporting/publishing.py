"""Write the reports to `<LAKE>/reports/<day>.html`, in a folder or an object store, and find them there."""

from datetime import date

from pyarrow import fs

from jobs.lake import Lake
from jobs.lake.store import open_store, write_file


def publish_page(lake: Lake, name: str, html: str) -> str:
    """Write a page and return its address. A reader sees the whole old page or the whole new one."""
    store, root = open_store(lake.root)
    write_file(store, f"{root}/reports/{name}.html", html.encode())
    return f"{lake.root}/reports/{name}.html"


def find_report(lake: Lake, day: date) -> str | None:
    """The address of the report of a day, None if there is no report."""
    return f"{lake.root}/reports/{day}.html" if _is_file(lake, f"reports/{day}.html") else None


def data_docs_link(lake: Lake) -> str:
    """The link from a report to the pages of Great Expectations. Empty if there are no such pages."""
    return "../data_docs/index.html" if _is_file(lake, "data_docs/index.html") else ""


def _is_file(lake: Lake, path: str) -> bool:
    store, root = open_store(lake.root)
    return bool(store.get_file_info(f"{root}/{path}").type == fs.FileType.File)
