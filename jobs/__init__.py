"""What happens each day: one module per task, run as ``python -m jobs.<task> --day 2026-11-20``."""
