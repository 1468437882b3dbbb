"""Start an S3 store of our own (SeaweedFS), for tests and for `make cluster`."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from lake_state import REPOSITORY
from services import ServiceError, Services, free_port
from spark_server import is_listening

WEED = REPOSITORY / ".venv/jobs/bin/weed"
PARTS = ("master", "volume", "filer", "s3")


def start_object_store(services: Services, folder: Path, buckets: tuple[str, ...]) -> dict[str, str]:
    """Start a store on this machine that keeps its data in `folder`. Return when it answers and has the buckets.

    returns  the environment variables that say how to reach it
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    keys, ports = _load_identity(folder)
    identity = {"name": "sidereal", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    _write_secret(folder / "keys.json", {"identities": [identity]})
    command = [str(WEED), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # services that nobody needs
    command += [f"-s3.config={folder / 'keys.json'}", "-master.volumeSizeLimitMB=1024", "-volume.max=1000"]
    for part, (http, grpc) in ports.items():
        command += [f"-{part}.port={http}", f"-{part}.port.grpc={grpc}"]
    # SeaweedFS would also accept the keys in these variables.
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    services.start("object-store", command, env)
    services.wait_until_ready("the S3 store", lambda: _answers(ports["s3"]) and _answers(ports["filer"]))
    services.wait_until_ready("the S3 store", lambda: _knows_its_files(ports["master"], folder / "data"))
    existing = _run_shell(ports, "s3.bucket.list")
    for bucket in buckets:
        if f"{bucket}\t" not in existing:
            _run_shell(ports, f"s3.bucket.create -name {bucket}")
    return {
        "AWS_ACCESS_KEY_ID": keys["accessKey"],
        "AWS_SECRET_ACCESS_KEY": keys["secretKey"],
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3'][0]}",
    }


def _load_identity(folder: Path) -> tuple[dict[str, str], dict[str, list[int]]]:
    """Keys and ports (HTTP, gRPC), made at the first start: the store's files name its ports."""
    file = folder / "identity.json"
    if not file.exists():
        keys = {"accessKey": "sidereal", "secretKey": secrets.token_urlsafe(24)}
        _write_secret(file, [keys, {part: [free_port(), free_port()] for part in PARTS}])
    keys, ports = json.loads(file.read_text())
    return keys, ports


def _write_secret(file: Path, content: Any) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(content, stream)


def _run_shell(ports: dict[str, list[int]], command: str) -> str:
    shell = [str(WEED), "shell", "-master=127.0.0.1:{}.{}".format(*ports["master"])]
    shown = subprocess.run(shell, input=f"{command}\n", text=True, timeout=60, capture_output=True)
    if shown.returncode:
        raise ServiceError(f"the S3 store refused {command}: {(shown.stderr or shown.stdout).strip()[-200:]}")
    return shown.stdout


def _knows_its_files(ports: list[int], data: Path) -> bool:
    """Whether the master has heard of all volumes in the folder: it answers before it has."""
    try:
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{ports[0]}/dir/status", timeout=10) as answer:
            centers = json.load(answer)["Topology"]["DataCenters"] or []
    except (OSError, ValueError):
        return False
    racks = [rack for center in centers for rack in center["Racks"] or []]
    nodes = [node for rack in racks for node in rack["DataNodes"] or []]
    whole = [file for file in data.glob("*.dat") if file.with_suffix(".idx").exists()]
    return bool(nodes) and sum(node["Volumes"] for node in nodes) >= len(whole)


def _answers(ports: list[int]) -> bool:
    return is_listening(f"http://127.0.0.1:{ports[0]}")
