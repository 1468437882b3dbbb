"""What shows the results of a run: the report page with its plots, the page of codes, and the summary."""
