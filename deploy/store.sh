#!/bin/sh
# Start the S3 store in its container. With `buckets`: make the buckets of a store that runs.
set -eu
if [ "${1:-}" = buckets ]; then
  for bucket in lake landing; do
    echo s3.bucket.list | weed shell -master=store:9333 | grep -q "^  $bucket[[:space:]]" ||
      echo "s3.bucket.create -name $bucket" | weed shell -master=store:9333
  done
  exit
fi
cat >/tmp/keys.json <<KEYS
{"identities": [{"name": "sidereal", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}]}]}
KEYS
exec weed server -dir=/data -ip=store -ip.bind=0.0.0.0 -master.volumeSizeLimitMB=1024 -volume.max=1000 \
  -s3 -s3.port=8333 -s3.config=/tmp/keys.json -s3.port.iceberg=0 -s3.port.lance=0
