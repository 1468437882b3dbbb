"""Airflow keeps the logs of tasks below `<LAKE>/airflow/logs` if LAKE is an S3 address.

AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS names this module. Such logs outlive the machine that ran the task, and every API
server finds them. Airflow's provider for Amazon could do this, too, but brings many packages that nobody here needs.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.config_templates.airflow_local_settings import BASE_LOG_FOLDER, DEFAULT_LOGGING_CONFIG

LOGGING_CONFIG = DEFAULT_LOGGING_CONFIG  # Airflow wants this name in the module
FOLDER = "airflow/logs"


class LogsInStore:
    """What Airflow calls RemoteLogIO. address: of the lake"""

    processors = ()  # Airflow would pass each line through these

    def __init__(self, address: str) -> None:
        self.bucket, _, lake = address.partition("://")[2].strip("/").partition("/")
        self.folder = f"{lake}/{FOLDER}".lstrip("/")

    @cached_property
    def store(self) -> Any:
        import boto3  # slow to import
        from botocore.config import Config

        limits = {"connect_timeout": 10, "read_timeout": 60, "retries": {"total_max_attempts": 5}}
        config = Config(s3={"addressing_style": "path"}, **limits)
        return boto3.client("s3", region_name=os.environ.get("AWS_REGION"), config=config)

    def upload(self, path: os.PathLike[str] | str, ti: object = None) -> None:
        """Copy a log to the store at the end of the task. If that fails, the task does not; the local log stays."""
        try:
            self.store.upload_file(str(Path(BASE_LOG_FOLDER, path)), self.bucket, f"{self.folder}/{path}")
        except Exception as error:  # of boto3, which has no common base class for them
            print(f"the log {path} was not copied to s3://{self.bucket}: {error}", file=sys.stderr)

    def read(self, relative_path: str, ti: object) -> tuple[list[str], list[str] | None]:
        """Where the logs of a task are in the store, and what they say. If there are none, Airflow shows local ones."""
        prefix = f"{self.folder}/{relative_path}"
        try:
            listed = self.store.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
            names = [entry["Key"] for entry in listed]
            bodies = [self.store.get_object(Bucket=self.bucket, Key=name)["Body"].read() for name in names]
            texts = [body.decode(errors="replace") for body in bodies]
        except Exception as error:
            return [f"the logs in s3://{self.bucket} cannot be read: {error}"], None
        return [f"s3://{self.bucket}/{name}" for name in names], texts or None


LAKE = os.environ.get("LAKE", "")
REMOTE_TASK_LOG = LogsInStore(LAKE) if LAKE.startswith(("s3://", "s3a://", "s3n://")) else None
