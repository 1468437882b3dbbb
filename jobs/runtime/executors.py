"""Our code on Spark's executors."""

import atexit
import hashlib
import io
import shutil
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from pyspark import cloudpickle
from pyspark.sql import SparkSession

MODELS = Path(__file__).parents[2] / "models"


def send_models(spark: SparkSession) -> None:
    """Send it under a name that tells what it is; the packages that it imports must be there."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for module in sorted(MODELS.rglob("*.py")):
            file.writestr(zipfile.ZipInfo(str(module.relative_to(MODELS.parent))), module.read_bytes())
    name = f"sidereal-models-{hashlib.sha256(held.getvalue()).hexdigest()[:12]}.zip"
    package = _folder() / name
    package.write_bytes(held.getvalue())
    spark.addArtifacts(str(package), pyfile=True)


def send_with_tasks(module: str) -> None:
    """The code of a loaded module goes along with each task, as executors need have none of ours."""
    cloudpickle.register_pickle_by_value(sys.modules[module])  # type: ignore[no-untyped-call]  # PySpark gives it no types


@cache
def _folder() -> Path:
    """Nobody else's, until this process ends: Spark may read what lies there whenever a task needs it."""
    folder = tempfile.mkdtemp(prefix="sidereal-code-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
