"""What the trainings of our models share: checkpoints, workers, and optimizers for tables with a row per item."""
