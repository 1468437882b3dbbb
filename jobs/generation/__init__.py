"""Items that are found for every user ahead of time."""
