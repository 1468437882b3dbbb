"""Write the passwords of docker-compose.yml: `make compose-init`."""

from __future__ import annotations

import base64
import os
import secrets

from lake_state import REPOSITORY

ENV_FILE = REPOSITORY / ".env"


def main() -> None:
    """Write random passwords to .env, unless it has them."""
    if ENV_FILE.exists():
        print(f"{ENV_FILE} is there already; it stays as it is")
        return
    names = ("POSTGRES_PASSWORD", "STORE_SECRET", "SPARK_SECRET", "SPARK_TOKEN", "AIRFLOW_SECRET_KEY")
    values = {name: secrets.token_hex(24) for name in names}
    values["AIRFLOW_JWT_SECRET"] = secrets.token_hex(64)
    values["AIRFLOW_FERNET_KEY"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
    with open(os.open(ENV_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    print(f"wrote {ENV_FILE}, which only you can read")


if __name__ == "__main__":
    main()
