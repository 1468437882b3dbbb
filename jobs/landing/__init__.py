"""The stage that lands logs: files, lines, checks, and the account of what became of each line."""
