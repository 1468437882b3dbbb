"""How it is computed: tensors in, tensors out; knows no table, no Spark, no Airflow, no path."""

from models.processor import spare_amx

spare_amx()
