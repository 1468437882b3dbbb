"""The stage that decides what goes live: the gate, releases, stored models, MLflow."""
