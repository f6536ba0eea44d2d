#!/usr/bin/env bash
# Two workers that a coordinator did not start itself, on one Redis:
#
#   cornet demo                                  # makes the data set runs/demo/images
#   examples/two-workers.sh runs/demo/images runs/two-workers --epochs 1
#
# Further arguments are options of `cornet train`. Here everything is on one machine. On several, let the Redis listen on
# a port with a password (docs/security.md), set CORNET_REDIS_URL to redis://:password@host:port everywhere, and start
# the workers on their own hosts, with --data-path where the data set is elsewhere there.
set -euo pipefail

images=${1:?is the data set}
run=${2:?is the folder of the run}
shift 2

folder=$(mktemp -d)
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --appendonly no >"$folder/redis.log" &
redis=$!
trap 'kill "$redis"; wait "$redis" || true; rm -r "$folder"' EXIT
export CORNET_REDIS_URL=unix://$folder/redis.sock

# They may start before the coordinator, or before Redis: --wait is how long they look for a run.
workers=()
for _ in 1 2; do
  cornet worker start --device cpu --wait 60 &
  workers+=($!)
done

# Two lanes, because the coordinator cannot know how many workers will come. The result depends on the lanes alone: with
# one worker, or with three, the weights would be the same.
code=0
cornet train --model Z --image-size 64 --batch-size 32 --data-path "$images" --output-path "$run" \
  --wait 60 --cpu-workers 0 --lanes 2 --threads 1 "$@" || code=$?

# Workers end with the run. After an error they would wait for the next coordinator.
((code == 0)) || kill "${workers[@]}" 2>/dev/null || true
wait "${workers[@]}" || true
exit "$code"
