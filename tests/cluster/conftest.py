"""Tests of several services together: `make cluster-test`. They take minutes, so `make test` leaves them out."""

import os

collect_ignore_glob = [] if os.environ.get("CLUSTER_TESTS") else ["test_*.py"]
