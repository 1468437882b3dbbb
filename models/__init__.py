"""How it is computed: tensors in, tensors out. No table, no Spark, no Airflow, no path."""

from models.processor import avoid_broken_amx

avoid_broken_amx()
