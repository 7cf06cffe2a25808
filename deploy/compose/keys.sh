#!/bin/sh
# Makes the demonstration's authority, certificates and keys, once. ROTUNDA and KEYS say what to run and where the files go.
set -eu
cd "$(dirname "$0")"
rotunda=${ROTUNDA:-docker compose run --rm --no-deps -T keys}
keys=${KEYS:-/etc/rotunda/keys}
$rotunda certs init --dir "$keys"
$rotunda certs node us-east --region us-east --host 172.30.7.11 --dir "$keys"
$rotunda certs node eu-west --region eu-west --host 172.30.7.12 --dir "$keys"
$rotunda certs node ap-south --region ap-south --host 172.30.7.13 --dir "$keys"
$rotunda keygen gossip --dir "$keys"
$rotunda keygen token --dir "$keys"
