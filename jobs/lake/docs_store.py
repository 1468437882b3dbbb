"""Where Great Expectations keeps its results and pages: in the lake, be it a folder or an object store."""

from typing import Any

from great_expectations.data_context.store.tuple_store_backend import TupleStoreBackend
from great_expectations.exceptions import InvalidKeyError

from jobs.lake.store import list_files, open_store, write_file

Key = tuple[str, ...]


class ArrowStoreBackend(TupleStoreBackend):
    """One file for each key, below an address. A file is written completely or not at all."""

    def __init__(self, address: str, **options: Any) -> None:
        super().__init__(**options)
        self._address = address
        self._store, self._root = open_store(address)
        self._config = {
            "module_name": __name__, "class_name": type(self).__name__, "address": address, **options
        }  # fmt: skip

    def _path(self, key: Key) -> str:
        return f"{self._root}/{self._name(key)}"

    def _name(self, key: Key) -> str:
        parent: Any = super()  # it has no types
        return str(parent._convert_key_to_filepath(key))

    def _get(self, key: Key) -> Any:
        try:
            with self._store.open_input_file(self._path(key)) as file:
                return file.read().decode().rstrip("\n")
        except FileNotFoundError:
            raise InvalidKeyError(f"there is no {self._path(key)}") from None

    def _get_all(self) -> list[str]:
        return [self._get(key) for key in self.list_keys()]

    def _set(self, key: Key, value: str | bytes, **_: Any) -> Any:
        write_file(self._store, self._path(key), value.encode() if isinstance(value, str) else value)
        return self._path(key)

    def _move(self, source_key: Key, dest_key: Key, **_: Any) -> None:
        raise NotImplementedError("results and pages keep their names")  # the base class asks for the method

    def list_keys(self, prefix: Key = ()) -> list[Key]:
        folder = "/".join([self._root, *filter(None, [self.filepath_prefix]), *prefix])
        names = [str(info.path).removeprefix(f"{self._root}/") for info in list_files(self._store, folder)]
        names = [name for name in names if name.endswith(self.filepath_suffix or "")]
        parent: Any = super()  # it has no types
        keys = [parent._convert_filepath_to_key(name) for name in names]
        return [key for key in keys if key and not parent.is_ignored_key(key)]

    def remove_key(self, key: Key) -> Any:
        """Keep everything. Of two checks at once, one would delete the page that the other has just written.

        It does not know the other's result yet, and Great Expectations deletes pages without a result.
        """
        return False

    def _has_key(self, key: Key) -> bool:
        return bool(self._store.get_file_info(self._path(key)).is_file)

    def get_url_for_key(self, key: Key, protocol: str | None = None) -> str:
        return f"{self._address}/{self._name(key)}"
