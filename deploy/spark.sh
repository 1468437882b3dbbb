#!/bin/sh
# Start one of Spark's processes in its container:
#   master, worker, connect  of a standalone cluster; connect is the Spark Connect server
#   kubernetes               the Spark Connect server in a pod, whose executors are pods, too
#   executor                 such an executor; Spark has set the variables that it needs
# The processes share a secret, so that nobody else can run programs on the cluster.
set -eu
umask 077
conf=${TMPDIR:-/tmp}/spark.conf
if [ "$1" = executor ]; then
  set --
  while IFS= read -r option; do set -- "$@" "$option"; done <<OPTIONS
$(env | sort -V | sed -n 's/^SPARK_JAVA_OPT_[0-9]*=//p')
OPTIONS
  cd "${TMPDIR:-/tmp}" # Spark makes a folder here for each session
  exec java "$@" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" -cp "$SPARK_HOME/jars/*" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend --driver-url "$SPARK_DRIVER_URL" \
    --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" --app-id "$SPARK_APPLICATION_ID" \
    --hostname "$SPARK_EXECUTOR_POD_IP" --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
    --podName "$SPARK_EXECUTOR_POD_NAME"
fi
cp spark/spark-defaults.conf "$conf"
cat >>"$conf" <<SETTINGS
spark.authenticate true
spark.executor.memory ${SPARK_EXECUTOR_MEMORY:-1400m}
spark.sql.shuffle.partitions ${SPARK_SHUFFLE_PARTITIONS:-4}
SETTINGS
if [ "$1" = kubernetes ]; then # Spark makes a secret of its own, and hands it to its pods
  cat >>"$conf" <<SETTINGS
spark.kubernetes.namespace $NAMESPACE
spark.kubernetes.container.image $SPARK_IMAGE
spark.kubernetes.driver.pod.name $POD_NAME
spark.kubernetes.executor.podTemplateFile deploy/kubernetes/executor.yaml
spark.kubernetes.executor.podTemplateContainerName executor
spark.executor.instances ${SPARK_EXECUTORS:-2}
spark.executor.cores ${SPARK_EXECUTOR_CORES:-1}
spark.executor.memoryOverheadFactor 1
SETTINGS
else
  echo "spark.authenticate.secret $SPARK_SECRET" >>"$conf"
fi
class=org.apache.spark.deploy
connect() { # master, address of the driver
  exec "$SPARK_HOME/bin/spark-submit" --master "$1" --properties-file "$conf" \
    --driver-memory "${SPARK_DRIVER_MEMORY:-2g}" --conf "spark.driver.host=$2" \
    --conf spark.driver.bindAddress=0.0.0.0 --conf "spark.connect.grpc.binding.port=${SPARK_CONNECT_PORT:-15002}" \
    --class org.apache.spark.sql.connect.service.SparkConnectServer spark-internal
}
case $1 in
master)
  exec "$SPARK_HOME/bin/spark-class" $class.master.Master --host spark-master --port 7077 --properties-file "$conf" ;;
worker)
  exec "$SPARK_HOME/bin/spark-class" $class.worker.Worker spark://spark-master:7077 --host "$(hostname)" \
    --cores "${SPARK_WORKER_CORES:-1}" --memory "${SPARK_WORKER_MEMORY:-2g}" --work-dir /tmp/applications \
    --properties-file "$conf" ;;
connect) connect spark://spark-master:7077 spark-connect ;;
kubernetes) connect "k8s://${KUBERNETES_API:-https://kubernetes.default.svc}" "$POD_IP" ;;
esac
