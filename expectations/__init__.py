"""One Great Expectations suite per table: CRITICAL stops the run, WARNING is reported."""
