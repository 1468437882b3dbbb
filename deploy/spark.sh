#!/bin/sh
# Start one of Spark's processes in its container: master, worker or connect (the Spark Connect server).
# All of them share a secret, so that nobody else can run programs on the cluster.
set -eu
umask 077
cp spark/spark-defaults.conf /tmp/spark.conf
cat >>/tmp/spark.conf <<SETTINGS
spark.authenticate true
spark.authenticate.secret $SPARK_SECRET
spark.executor.memory ${SPARK_EXECUTOR_MEMORY:-1400m}
spark.sql.shuffle.partitions ${SPARK_SHUFFLE_PARTITIONS:-4}
SETTINGS
class=org.apache.spark.deploy
case $1 in
master)
  exec "$SPARK_HOME/bin/spark-class" $class.master.Master --host spark-master --port 7077 --properties-file /tmp/spark.conf ;;
worker)
  exec "$SPARK_HOME/bin/spark-class" $class.worker.Worker spark://spark-master:7077 --host "$(hostname)" \
    --cores "${SPARK_WORKER_CORES:-1}" --memory "${SPARK_WORKER_MEMORY:-2g}" --work-dir /tmp/applications \
    --properties-file /tmp/spark.conf ;;
connect)
  exec "$SPARK_HOME/bin/spark-submit" --master spark://spark-master:7077 --properties-file /tmp/spark.conf \
    --driver-memory "${SPARK_DRIVER_MEMORY:-2g}" --conf spark.driver.host=spark-connect \
    --conf spark.driver.bindAddress=0.0.0.0 --conf spark.connect.grpc.binding.port=15002 \
    --class org.apache.spark.sql.connect.service.SparkConnectServer spark-internal ;;
esac
