"""The landing stage: from log files to clean events and items, and to the training samples that they give."""
