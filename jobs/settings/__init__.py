"""The settings tree; the settings of a stage are in the stage's own package."""
