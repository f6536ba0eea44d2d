#!/usr/bin/env bash
# A run in slices of time: what a scheduler does that stops a job when its time is up and gives the same command again.
#
#   examples/retry.sh RUN [SECONDS] -- options of `cornet train`
#   examples/retry.sh runs/s 3600 -- --model S --ngpus 2 --data-path /data/imagenet
#
# Slurm has a script of its own, deploy/slurm/cornet.sbatch, which asks for the next slice with `scontrol requeue`.
set -uo pipefail

run=${1:?is the folder of the run}
shift
seconds=3600
if [[ ${1:-} != -- ]]; then
  seconds=${1:?is how long a slice lasts}
  shift
fi
shift # the --

# Ctrl-C and SIGTERM are for the slice, too, and then for this script.
stopped=false slice=
trap 'stopped=true; [[ -z $slice ]] || kill -TERM "$slice"' INT TERM

while true; do
  # --auto-resume begins the run if the folder holds none, and continues it otherwise. SIGTERM makes it write a checkpoint.
  timeout --preserve-status --signal=TERM "$seconds" cornet train --auto-resume --output-path "$run" "$@" &
  slice=$!
  # A signal interrupts `wait`, which then has to wait again.
  code=0
  while wait "$slice" || code=$?; kill -0 "$slice" 2>/dev/null; do code=0; done

  # 75: stopped on request before the end. 0: complete. Anything else is an error that another try would meet again.
  if $stopped || ((code != 75)); then exit "$code"; fi
  echo 'Stopped before its end; the next slice continues.'
done
