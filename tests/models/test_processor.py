"""AMX is used only on processors that really have it."""

import os
import subprocess
import sys

PRODUCT = "import models, torch; a = torch.ones(64, 64, dtype=torch.bfloat16); print((a @ a)[0, 0].item())"


def test_bfloat16_works_whatever_the_processor_announces() -> None:
    env = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    run = subprocess.run([sys.executable, "-c", PRODUCT], env=env, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "64.0"), run.stderr


def test_a_limit_in_the_environment_is_kept() -> None:
    code = "import models, os; print(os.environ['ONEDNN_MAX_CPU_ISA'])"
    env = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "AVX2", run.stderr
