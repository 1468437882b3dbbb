"""What every task needs to run: command line, progress, worker processes, code on Spark's executors."""
