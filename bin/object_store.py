"""Start an S3 store of our own (SeaweedFS), for tests and for `make cluster`."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
from pathlib import Path

from lake_state import REPOSITORY
from services import Services, free_port

WEED = REPOSITORY / ".venv/jobs/bin/weed"
PARTS = ("master", "volume", "filer", "s3")


def start_object_store(services: Services, folder: Path, buckets: tuple[str, ...]) -> dict[str, str]:
    """Start a store on this machine that keeps its data in `folder`. Return when it answers and has the buckets.

    returns  the environment variables that say how to reach it
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    keys = {"accessKey": "sidereal", "secretKey": secrets.token_urlsafe(24)}
    identity = {"name": "sidereal", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    with open(os.open(folder / "keys.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"identities": [identity]}, file)
    ports = {part: (free_port(), free_port()) for part in PARTS}  # HTTP and gRPC
    command = [str(WEED), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # services that nobody needs
    command += [f"-s3.config={folder / 'keys.json'}", "-master.volumeSizeLimitMB=1024", "-volume.max=1000"]
    for part, (http, grpc) in ports.items():
        command += [f"-{part}.port={http}", f"-{part}.port.grpc={grpc}"]
    services.start("object-store", command, dict(os.environ))
    services.wait_until_ready("the S3 store", lambda: _answers(ports["s3"][0]) and _answers(ports["filer"][0]))
    shell = [str(WEED), "shell", "-master=127.0.0.1:{}.{}".format(*ports["master"])]
    lines = "".join(f"s3.bucket.create -name {bucket}\n" for bucket in buckets)
    subprocess.run(shell, input=lines, text=True, check=True, timeout=60, capture_output=True)
    return {
        "AWS_ACCESS_KEY_ID": keys["accessKey"],
        "AWS_SECRET_ACCESS_KEY": keys["secretKey"],
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3'][0]}",
    }


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
