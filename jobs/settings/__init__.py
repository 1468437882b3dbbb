"""The settings of a run as one tree. The settings of each stage are in the package of the stage."""
