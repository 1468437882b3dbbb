"""A small stand-in for Kubernetes: it keeps what Spark asks for, and starts each pod as a process of this machine.

There is no cluster in the tests. What is real: Spark's scheduler for Kubernetes makes the pods, and the command of the
pod's container runs with the environment that the pod has.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]


class KubernetesApi:
    """Objects by kind (`pods`, `configmaps`) and name, and the processes of pods."""

    def __init__(
        self, folder: Path, secrets: dict[str, dict[str, str]], repository: Path, image: dict[str, str]
    ) -> None:
        self.folder, self.secrets, self.repository, self.image = folder, secrets, repository, image
        self.objects: dict[str, dict[str, Object]] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.stopped = threading.Event()

    def create(self, kind: str, new: Object, *, start: bool = True) -> Object:
        name = new["metadata"]["name"]
        new["metadata"] |= {"uid": f"uid-{name}", "resourceVersion": "1", "creationTimestamp": "2026-11-20T00:00:00Z"}
        if kind == "pods":
            if start:
                self._start(new)
            is_ready = {"type": "Ready", "status": "True"}
            new = new | {"status": {"phase": "Running", "podIP": "127.0.0.1", "conditions": [is_ready]}}
        self.objects.setdefault(kind, {})[name] = new
        return new

    def _start(self, pod: Object) -> None:
        (container,) = pod["spec"]["containers"]
        fields = {"status.podIP": "127.0.0.1", "metadata.name": pod["metadata"]["name"]}
        variables = dict[str, str]()
        for source in container.get("envFrom", []):
            variables |= self.secrets[source["secretRef"]["name"]]
        for variable in container["env"]:
            source = variable.get("valueFrom")
            variables[variable["name"]] = (
                fields[source["fieldRef"]["fieldPath"]] if source else variable.get("value", "")
            )
        inherited = {name: self.image[name] for name in ("SPARK_HOME", "PYSPARK_PYTHON", "TMPDIR")}
        inherited |= {"PATH": os.environ["PATH"]}
        command = container["command"] + container.get("args", [])
        with open(self.folder / f"{pod['metadata']['name']}.log", "wb") as log:
            process = subprocess.Popen(
                command, cwd=self.repository, env=inherited | variables, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)

    def stop(self) -> None:
        self.stopped.set()
        for process in self.processes:
            process.kill()
            process.wait()


def _make_handler(api: KubernetesApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            kind, _, name = address.path.split("/namespaces/test/")[1].partition("/")
            known = api.objects.get(kind, {})
            if "watch=true" in address.query:  # Spark also asks again and again, so no events are sent
                if "Upgrade" in self.headers:
                    return self.answer(503, {"kind": "Status", "code": 503})  # then Spark asks without a websocket
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                api.stopped.wait()
            elif name:
                self.answer(200 if name in known else 404, known.get(name, {"kind": "Status", "code": 404}))
            else:
                wanted = parse_qs(address.query).get("fieldSelector", ["metadata.name="])[0].partition("=")[2]
                rows = [row for key, row in known.items() if (key == wanted if wanted else "labels" in row["metadata"])]
                self.answer(200, {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": rows})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(201, api.create(self.path.split("/")[-1].partition("?")[0], body))

        def do_PATCH(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.do_GET()

        def do_DELETE(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.answer(200, {"apiVersion": "v1", "kind": "Status", "status": "Success"})

        def answer(self, code: int, body: Object) -> None:
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    return Handler


@contextmanager
def run_kubernetes_api(
    folder: Path, secrets: dict[str, dict[str, str]], repository: Path, image: dict[str, str]
) -> Iterator[tuple[KubernetesApi, str]]:
    """The stand-in, and its address.

    folder      for logs of pods
    secrets     variables, by name of the secret
    repository  where the commands of pods run, and
    image       variables that they get: what the image of the pods would have
    """
    api = KubernetesApi(folder, secrets, repository, image)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(api))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api, f"http://127.0.0.1:{server.server_port}"
    finally:
        api.stop()
        server.shutdown()
        server.server_close()
