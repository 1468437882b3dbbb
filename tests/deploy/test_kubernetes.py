"""The files of deploy/kubernetes. There is no cluster here: schemas, and Spark on a stand-in for Kubernetes' API."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pyspark
import pytest
import yaml
from services import free_port

from tests.deploy.kubernetes_api import KubernetesApi, run_kubernetes_api

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = REPOSITORY / "deploy/kubernetes"
KUBERNETES = "1.34"
START_SECONDS = 200
CLIENT = """
import sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
numbers = spark.range(0, 1000, 1, 4).mapInArrow(lambda batches: batches, "id LONG")
print(numbers.selectExpr("sum(id) AS total").collect()[0].total)
"""


def check_schema(row: dict[str, Any]) -> None:
    kubernetes_validate.validate(row, KUBERNETES, strict=True)


def read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FILES / name).read_text()))


@pytest.mark.parametrize("name", ["executor.yaml", "sidereal.yaml"])
def test_manifests_fit_the_schemas_of_kubernetes(name: str) -> None:
    for row in read(name):
        check_schema(row)


def test_containers_and_variables_of_the_values_for_airflows_chart_fit_the_schemas_of_kubernetes() -> None:
    (values,) = read("airflow.yaml")
    secrets = [
        {"name": row["envName"], "valueFrom": {"secretKeyRef": {"name": row["secretName"], "key": row["secretKey"]}}}
        for row in values["secret"]
    ]
    tasks = {"name": "tasks", "env": values["env"] + secrets, "envFrom": yaml.safe_load(values["extraEnvFrom"])}
    containers = [tasks, *values["scheduler"]["extraContainers"]]
    spec = {"containers": containers}
    check_schema({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "scheduler"}, "spec": spec})


def test_the_values_create_the_pool_of_the_dags_tasks() -> None:
    pools = set(re.findall(r'pool="(\w+)"', (REPOSITORY / "dags/daily.py").read_text())) - {"default_pool"}
    (values,) = read("airflow.yaml")
    assert pools == set(re.findall(r"pools set (\w+)", values["migrateDatabaseJob"]["args"][-1])) == {"gpu"}


def test_the_docs_say_how_to_make_each_secret_that_the_files_name() -> None:
    docs = (REPOSITORY / "docs/machines.md").read_text()
    made = set(re.findall(r"create secret generic (\S+)", docs))
    text = "".join(path.read_text() for path in FILES.iterdir())
    used = re.findall(r"(?:[sS]ecretName: |secret(?:Ref|KeyRef): \{name: )([\w-]+)", text)
    assert made == set(used)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[KubernetesApi, dict[str, str]]]:
    """The stand-in, and the environment of a scheduler's pod, in which `deploy/spark.sh kubernetes` runs."""
    variables = {
        "SPARK_HOME": str(Path(pyspark.__file__).parent), "PYSPARK_PYTHON": sys.executable, "NAMESPACE": "test",
        "SPARK_IMAGE": "sidereal-jobs", "POD_NAME": "scheduler", "POD_IP": "127.0.0.1", "SPARK_DRIVER_MEMORY": "1g",
        "SPARK_EXECUTOR_MEMORY": "600m", "SPARK_CONNECT_PORT": str(free_port()), "TMPDIR": str(tmp_path),
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": "token",
    }  # fmt: skip
    secrets = {"sidereal-s3": {"AWS_SECRET_ACCESS_KEY": "a secret"}}
    with run_kubernetes_api(tmp_path, secrets, REPOSITORY, variables) as (api, address):
        api.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "scheduler"}}, start=False)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
        yield api, inherited | variables | {"KUBERNETES_API": address}


def test_spark_starts_executors_as_pods_which_run_python(
    api: tuple[KubernetesApi, dict[str, str]], tmp_path: Path
) -> None:
    kubernetes, variables = api
    port = int(variables["SPARK_CONNECT_PORT"])
    with open(tmp_path / "driver.log", "wb") as log:
        server = subprocess.Popen(["deploy/spark.sh", "kubernetes"], cwd=REPOSITORY, env=variables, stderr=log)
        try:
            wait_for_port(port, server)
            client = [sys.executable, "-c", CLIENT, f"sc://localhost:{port}"]
            answer = subprocess.run(client, env=variables, capture_output=True, text=True, timeout=START_SECONDS)
        finally:
            server.terminate()
            server.wait()
    assert answer.stdout == "499500\n", answer.stderr + (tmp_path / "driver.log").read_text()[-3000:]
    pods = [pod for name, pod in kubernetes.objects["pods"].items() if name != "scheduler"]
    assert len(pods) == 2
    for pod in pods:
        check_schema(pod)
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        (container,) = pod["spec"]["containers"]
        assert container["image"] == "sidereal-jobs"
        assert container["resources"]["limits"]["memory"] == "1200Mi"  # as much again for Python as for the JVM
        assert pod["metadata"]["ownerReferences"][0]["name"] == "scheduler"  # they end with it
        assert "a secret" not in str(pod)


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise TimeoutError(f"nothing listens on port {port}; the server's exit code is {server.poll()}")
