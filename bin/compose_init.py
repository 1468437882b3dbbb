"""Write the passwords of docker-compose.yml: `make compose-init`."""

from __future__ import annotations

import base64
import os
import secrets

from lake_state import REPOSITORY

ENV_FILE = REPOSITORY / ".env"


def main() -> None:
    """Add random passwords to .env, unless it has them."""
    known = ENV_FILE.read_text() if ENV_FILE.exists() else ""
    names = ("POSTGRES_PASSWORD", "STORE_SECRET", "SPARK_SECRET", "SPARK_TOKEN", "AIRFLOW_SECRET_KEY")
    values = {name: secrets.token_hex(24) for name in names}
    values["AIRFLOW_JWT_SECRET"] = secrets.token_hex(64)
    values["AIRFLOW_FERNET_KEY"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
    missing = {name: value for name, value in values.items() if f"{name}=" not in known}
    with open(os.open(ENV_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
        file.write("\n" if known and not known.endswith("\n") else "")
        file.writelines(f"{name}={value}\n" for name, value in missing.items())
    ENV_FILE.chmod(0o600)
    print(f"{ENV_FILE} has all passwords; {len(missing)} are new")


if __name__ == "__main__":
    main()
