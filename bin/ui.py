"""Start Airflow's web UI on the state of one lake: `make ui`. HOST=0.0.0.0 opens it to other machines."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from airflow_server import start_airflow
from lake_state import LakeState, landing_address
from run_job import UserError, run_job
from services import ServiceError, Services, free_port, on_signals


def serve(state: LakeState, services: Services) -> NoReturn:
    """Print address and password, then wait for a signal, or until a service ends."""
    host = os.environ.get("HOST") or "127.0.0.1"
    port = int(os.environ.get("PORT") or free_port())
    data = landing_address(os.environ.get("DATA") or str(state.landing))
    profile = os.environ.get("PROFILE") or ("small" if os.environ.get("DATA") else "")
    os.environ["PROFILE"] = profile
    run_job("settings")
    print("Starting Airflow ...", flush=True)
    start_airflow(services, state, host, port, {"DATA": data, "PROFILE": profile})
    user, password = next(iter(json.loads((state.airflow_home / "passwords.json").read_text()).items()))
    print(f"http://{host}:{port}/dags/daily\n  user      {user}\n  password  {password}", flush=True)
    print("The DAG runs nothing until you switch it on. Press Ctrl-C to stop the server.", flush=True)
    while True:
        services.check()
        time.sleep(1)


def interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    on_signals(interrupt)
    state = LakeState(os.environ.get("LAKE") or "lake")
    state.lock("make ui")
    services = Services(state.service_logs)
    try:
        serve(state, services)
    except (UserError, ServiceError) as error:
        print(f"make ui: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        on_signals(signal.SIG_IGN)  # a second Ctrl-C must not leave some processes running
        services.stop()


if __name__ == "__main__":
    sys.exit(main())
