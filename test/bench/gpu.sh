#!/usr/bin/env bash
# Two visits to a machine with an NVIDIA GPU, which may be lent for minutes only. Each builds the torch addon against
# the PyTorch of the machine's Python, and writes what it finds to report.md and log.txt as it goes on:
#
#   test/bench/gpu.sh smoke      does it work: the original's numbers, a first look at the speed, memory, a lost context
#   test/bench/gpu.sh measure    tables: steps beside PyTorch, whole runs, same bytes, exchange
#
#   --out FOLDER      where report.md and log.txt go (default gpu-results)
#   --limit SECONDS   for the whole visit (default 200, 420)
#   --parts A,B,…     these parts only, in this order
#   and the options of test/bench/gpu/main.ts. A rehearsal without a GPU:
#   --device cpu --precision fp32 --batch 4 --steps 2 --small 32,8,12
#
# In a clone it sets up what is missing; unpacked from what gpu-pack.sh made, it needs python3 with PyTorch and g++ alone.
# A part that fails or takes too long leaves the others alone; the exit code counts those parts.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

visit=${1:-}
case $visit in
  smoke)
    limit=200
    parts=words,look-s,golden-s,golden-rt,look-rt,trouble,transfers,profile,look-z
    ;;
  measure)
    limit=420
    parts=fused,bytes,steps-s,steps-rt,steps-z,feed,bits,between,heuristics,suite,golden-others,steps-r,reduced
    ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
shift
declare -A patience=([words]=20 [golden-s]=40 [golden-rt]=40 [trouble]=50 [bytes]=110 [steps-s]=130 [steps-rt]=110
  [feed]=90 [bits]=80)

out=$PWD/gpu-results
options=()
device=cuda:0
batch=256
while (($# > 0)); do
  case $1 in
    --out) out=$2 ;;
    --limit) limit=$2 ;;
    --parts) parts=$2 ;;
    --device) device=$2 ;;&
    --batch) batch=$2 ;;&
    *) options+=("$1" "$2") ;;
  esac
  shift 2
done

mkdir -p "$out"
out=$(realpath "$out")
report=$out/report.md
log=$out/log.txt
: >"$report"
: >"$log"
started=$SECONDS
inductor=$(mktemp -d)
python=${CORNET_PYTHON:-python3}
export CORNET_PYTHON=$python PYTHONUNBUFFERED=1 TORCHINDUCTOR_CACHE_DIR=$inductor CUDA_DEVICE_ORDER=PCI_BUS_ID
[[ ! -d bundle ]] || export PATH=$PWD/bundle/bin:$PATH LD_LIBRARY_PATH=$PWD/bundle/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

say() { printf '%s\n' "$@" | tee -a "$report"; }

# What a part that was cut off leaves behind would go on computing: each process carries its part's mark.
sweep() {
  local environment pid
  for environment in /proc/[0-9]*/environ; do
    pid=${environment//[!0-9]/}
    grep -qzx "CORNET_BENCH_PART=$$-$1" "$environment" 2>/dev/null && kill -KILL "$pid" 2>/dev/null
  done
  return 0
}

part=building
# shellcheck disable=SC2317 # the trap calls it
leave() {
  sweep "$part"
  sweep compiling
  [[ ! -e $log.part ]] || cat "$log.part" >>"$log"
  rm -rf "$inductor" "$log.part"
}
trap leave EXIT
trap 'say "" "**Cut off in $part, after $((SECONDS - started)) s.**"; exit 1' INT TERM HUP
failed=()

# --- Building -----------------------------------------------------------------------------------------------------------

libtorch=$("$python" -c 'import importlib.util as u; print(*u.find_spec("torch").submodule_search_locations)' 2>/dev/null) ||
  { say "$python has no torch: name one that has with CORNET_PYTHON."; exit 1; }

# As set-up does: every symbol is resolved. A wheel finds NVIDIA's libraries by itself; where it does not, that is said.
loads() {
  node -e 'process.dlopen({ exports: {} }, process.argv[1], require("os").constants.dlopen.RTLD_NOW)' \
    ".cache/torch-addon/$(<.cache/torch-addon/current)/torch.node" 2>>"$log"
}

# torch.compile takes a minute for a model: meanwhile nothing is measured.
compiling=()
if [[ $parts == *steps-* ]]; then
  for model in S RT Z; do
    CORNET_BENCH_PART=$$-compiling timeout 130 "$python" test/bench/gpu/peer.py "$model" "$device" "compiled:$batch:1" >>"$log" 2>&1 &
    compiling+=($!)
  done
fi

if [[ -d bundle ]]; then
  deploy/setup/build-addon.sh torch "$libtorch" >>"$log" 2>&1
else
  deploy/setup.sh --libtorch "$libtorch" >>"$log" 2>&1
fi || { tail -n 40 "$log" | tee -a "$report"; say "The torch addon cannot be built against $libtorch."; exit 1; }
building=$((SECONDS - started))
if ! loads; then
  say "- the libraries of NVIDIA's wheels had to be named in LD_LIBRARY_PATH"
  LD_LIBRARY_PATH=$(printf '%s:' "${libtorch%/torch}"/nvidia/*/lib)${LD_LIBRARY_PATH:-}
  export LD_LIBRARY_PATH
  loads || { tail -n 20 "$log" | tee -a "$report"; say "The torch addon does not load."; exit 1; }
fi

say "## cornet-ts on $device, $visit, $(date -u +%Y-%m-%d)" ''
if [[ $device != cpu ]]; then
  nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap --format=csv,noheader 2>&1 | sed 's/^/- GPU: /' | tee -a "$report"
fi
say "- $(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(free -g | awk '/^Mem/ {print $2}') GiB"
say "- Node.js $(node --version), $("$python" -c 'import torch; print("PyTorch", torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version())')"
say "- addon built in $building s, without a CUDA toolkit"

# --- The parts --------------------------------------------------------------------------------------------------------------

# What programs say on this machine, word by word: tests without a GPU stand on it.
words() {
  say '' '### Words' '' '```'
  {
    if [[ $device != cpu ]]; then
      nvidia-smi
      nvidia-smi --query-gpu=index,uuid,memory.total,memory.free,driver_version,name,compute_cap --format=csv,noheader,nounits
      nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits
      nvidia-smi -L
      nvidia-smi topo -m
    fi
    "$python" -c '
import torch
print(torch.__config__.show())
print("NCCL", torch.cuda.nccl.version() if torch.cuda.is_available() else None)'
    grep -n native_handle "$libtorch/include/c10/core/Stream.h"
    df -h /dev/shm /tmp
    timeout 15 node dist/worker/main.js describe cpu "$device"
  } 2>&1 | tee -a "$report"
  say '```'
}

profile() {
  local model ways
  for model in S RT; do
    say '' "### Where the time of PyTorch's tuned eager step goes, CORnet-$model, batch $batch" '' '```'
    ways=(channels-last)
    [[ $model == S ]] || ways=({,norm16-}{channels-last,contiguous})
    timeout 40 "$python" test/bench/gpu/peer.py "$model" "$device" "profile:$batch" "${ways[@]/%/:$batch:10}" 2>>"$log" |
      tee -a "$report"
    say '```'
  done
}

for part in ${parts//,/ }; do
  if [[ $part == steps-* ]] && ((${#compiling[@]} > 0)); then
    wait "${compiling[@]}"
    compiling=()
  fi
  seconds=$((limit - (SECONDS - started)))
  if ((seconds < 10)); then
    say '' "$part: no time is left for it."
    failed+=("$part")
    continue
  fi
  ((seconds < ${patience[$part]:-60})) || seconds=${patience[$part]:-60}
  begun=$SECONDS
  code=0
  case $part in
    words) words ;;
    profile) profile ;;
    *)
      command=(node dist/test/bench/gpu/main.js "$part" "${options[@]}")
      [[ $part != fused ]] || command=(node dist/test/bench/gpu/fused-check.js "$device")
      [[ $part != suite ]] || command=(node node_modules/ava/entrypoints/cli.mjs dist/test/conformance/torch.test.js)
      # A worker's environment: cuBLAS refuses deterministic sums without the workspace.
      CORNET_BENCH_PART=$$-$part CORNET_TEST_DEVICE=$device CUBLAS_WORKSPACE_CONFIG=:4096:8 timeout -k 5 "$seconds" \
        "${command[@]}" 2>"$log.part" > >(tee -a "$report") &
      wait $! || code=$? # in the background: a signal need not wait for its end
      cat "$log.part" >>"$log"
      ;;
  esac
  sweep "$part"
  if ((code != 0)); then
    failed+=("$part")
    say '' "**$part failed** ($( ((code == 124 || code == 137)) && echo "not done within $seconds s" || echo "exit code $code")):"
    grep -vE '^\s*(at |$)' "$log.part" | tail -n 6 | tee -a "$report"
  fi
  rm -f "$log.part"
  say '' "($part took $((SECONDS - begun)) s)"
done
say '' "All in $((SECONDS - started)) s. Failed: ${failed[*]:-nothing}."
exit ${#failed[@]}
