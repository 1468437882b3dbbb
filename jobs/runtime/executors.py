"""Send our code to Spark's executors, which need not have it installed."""

import atexit
import hashlib
import io
import shutil
import sys
import tempfile
import uuid
import zipfile
from functools import cache
from pathlib import Path

from pyspark import cloudpickle
from pyspark.sql import SparkSession

MODELS = Path(__file__).parents[2] / "models"


def send_models(spark: SparkSession) -> None:
    """Send the package `models` as a zip file. The executors must have the libraries that it imports.

    The file's name holds a hash of its content, so that a changed package is sent again.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for module in sorted(MODELS.rglob("*.py")):
            archive.writestr(zipfile.ZipInfo(str(module.relative_to(MODELS.parent))), module.read_bytes())
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:12]
    package = _temporary_folder() / f"sidereal-models-{digest}.zip"
    package.write_bytes(content.getvalue())
    spark.addArtifacts(str(package), pyfile=True)


def send_folder(spark: SparkSession, folder: Path) -> str:
    """Send a folder. Executors find it in `SparkFiles.getRootDirectory()`, under the name that this returns."""
    name = f"sidereal-{uuid.uuid4().hex[:12]}"  # Spark refuses a second archive of the same name
    archive = shutil.make_archive(str(_temporary_folder() / name), "zip", folder)
    spark.addArtifacts(archive, archive=True)
    return Path(archive).name


def send_with_tasks(module: str) -> None:
    """Send the code of a loaded module along with each task that uses it."""
    cloudpickle.register_pickle_by_value(sys.modules[module])  # type: ignore[no-untyped-call]  # PySpark gives it no types


@cache
def _temporary_folder() -> Path:
    """A folder of this process that lasts until it ends: Spark may read its files whenever a task needs them."""
    folder = tempfile.mkdtemp(prefix="sidereal-code-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
