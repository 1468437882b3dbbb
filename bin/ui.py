"""Airflow's web UI on a lake's own Airflow state: `make ui`. HOST=0.0.0.0 opens it to other machines."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from job import Mistake, job
from place import Place
from services import ServiceError, Services, free_port, on_signals
from stack import start_airflow


def serve(place: Place, services: Services) -> NoReturn:
    """Print address and password, then stay until a signal comes or a service ends."""
    host = os.environ.get("HOST") or "127.0.0.1"
    port = int(os.environ.get("PORT") or free_port())
    data = os.path.abspath(os.environ.get("DATA") or place.state / "landing")
    profile = os.environ.get("PROFILE") or ("small" if os.environ.get("DATA") else "")
    os.environ["PROFILE"] = profile
    job("settings")
    print("Starting Airflow ...", flush=True)
    start_airflow(services, place, host, port, {"DATA": data, "PROFILE": profile})
    user, password = next(iter(json.loads((place.state / "airflow/passwords.json").read_text()).items()))
    print(f"http://{host}:{port}/dags/daily\n  user      {user}\n  password  {password}", flush=True)
    print("The DAG runs nothing until it is switched on. Ctrl-C stops the server.", flush=True)
    while True:
        services.check()
        time.sleep(1)


def stop(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    on_signals(stop)
    place = Place(os.environ.get("LAKE") or "lake")
    place.hold("make ui")
    services = Services(place.logs)
    try:
        serve(place, services)
    except (Mistake, ServiceError) as error:
        print(f"make ui: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        on_signals(signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        services.stop()


if __name__ == "__main__":
    sys.exit(main())
