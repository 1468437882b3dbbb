"""Our models' code on Spark's executors."""

import hashlib
import io
import os
import tempfile
import zipfile
from pathlib import Path

from pyspark.sql import SparkSession

MODELS = Path(__file__).parent.parent / "models"


def send_models(spark: SparkSession) -> None:
    """Executors need the packages that it imports; the code comes from here, under a name that tells what it is."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for module in sorted(MODELS.rglob("*.py")):
            file.writestr(zipfile.ZipInfo(str(module.relative_to(MODELS.parent))), module.read_bytes())
    name = f"sidereal-models-{hashlib.sha256(held.getvalue()).hexdigest()[:12]}.zip"
    package = Path(tempfile.gettempdir()) / name  # which stays: Spark reads it when a task needs it
    if not package.exists():
        part = package.with_suffix(f".{os.getpid()}")
        part.write_bytes(held.getvalue())
        part.rename(package)
    spark.addArtifacts(str(package), pyfile=True)
