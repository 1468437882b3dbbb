"""The stage that shows what a run did: the report page, its plots, and the summary of a run."""
