"""How Great Expectations writes its pages (Data Docs). It makes an environment of Jinja for each page.

The two classes below keep the compiled templates. Compiling them again took most of the time of a check of few rows.
"""

from typing import Any

from great_expectations.render.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from jinja2.bccache import Bucket, BytecodeCache


class CompiledTemplates(BytecodeCache):
    """Compiled templates, in the memory of this process."""

    def __init__(self) -> None:
        self._codes: dict[str, Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get(bucket.key)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key] = bucket.code


TEMPLATES = CompiledTemplates()


class Page(DefaultJinjaPageView):
    """A page of results or expectations."""

    def __init__(self, **folders: Any) -> None:
        super().__init__(**folders)
        self.env.bytecode_cache = TEMPLATES


class FirstPage(DefaultJinjaIndexPageView):
    """The page that lists the others."""

    def __init__(self, **folders: Any) -> None:
        super().__init__(**folders)
        self.env.bytecode_cache = TEMPLATES
