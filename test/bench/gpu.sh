#!/usr/bin/env bash
# One command for a machine with an NVIDIA card: builds the torch addon against the PyTorch of its Python, checks the
# original's numbers on the card, and prints tables of one run: training steps beside PyTorch as the original trains and
# as fast as it goes, the price of determinism, two workers on one card, the exchange, how many cores feed the card.
#
#   test/bench/gpu.sh [--out FOLDER] [--limit SECONDS] [--parts golden,bytes,…] [options of test/bench/gpu/main.ts]
#   test/bench/gpu.sh --device cpu --models Z --batch 4 --steps 2 --small 32,8,12       (a rehearsal without a card)
#
# In a clone it sets up what is missing; unpacked from what gpu-pack.sh made, it needs python3 with PyTorch and g++ alone.
# A part that fails or takes too long leaves the others alone; the exit code counts those parts.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

out=$PWD/gpu-results
limit=540
parts=golden,bytes,steps,vectors,suite,reduced,feed,large
options=()
device=cuda:0
models=Z,RT,S
while (($# > 0)); do
  case $1 in
    --out) out=$2; shift 2 ;;
    --limit) limit=$2; shift 2 ;;
    --parts) parts=$2; shift 2 ;;
    --device) device=$2; options+=("$1" "$2"); shift 2 ;;
    --models) models=$2; options+=("$1" "$2"); shift 2 ;;
    *) options+=("$1"); shift ;;
  esac
done
declare -A patience=([golden]=150 [bytes]=150 [steps]=300 [vectors]=60 [suite]=120 [reduced]=90 [feed]=120 [large]=120)

mkdir -p "$out"
out=$(realpath "$out")
report=$out/report.md
: >"$report"
: >"$out/log.txt"
started=$SECONDS
python=${CORNET_PYTHON:-python3}
export CORNET_PYTHON=$python PYTHONUNBUFFERED=1 TORCHINDUCTOR_CACHE_DIR=$out/inductor
export CUDA_DEVICE_ORDER=PCI_BUS_ID
[[ ! -d bundle ]] || export PATH=$PWD/bundle/bin:$PATH LD_LIBRARY_PATH=$PWD/bundle/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

say() { printf '%s\n' "$@" | tee -a "$report"; }
# A part that was cut off leaves workers behind, which would go on computing: each carries the part's mark.
sweep() {
  local environment pid
  for environment in /proc/[0-9]*/environ; do
    pid=${environment//[!0-9]/}
    grep -qzx "CORNET_BENCH_PART=$1" "$environment" 2>/dev/null && kill -KILL "$pid" 2>/dev/null
  done
  return 0
}
left() { echo $((limit - (SECONDS - started))); }
failed=()

# --- Building -----------------------------------------------------------------------------------------------------------

libtorch=$("$python" -c 'import importlib.util as u; print(*u.find_spec("torch").submodule_search_locations)') ||
  { echo "$python has no torch: name one that has with CORNET_PYTHON."; exit 1; }
if [[ -d bundle ]]; then
  deploy/build-addon.sh torch "$libtorch" >>"$out/log.txt" 2>&1
else
  deploy/setup.sh --libtorch "$libtorch" >>"$out/log.txt" 2>&1
fi || { tail -n 40 "$out/log.txt"; echo "The torch addon cannot be built against $libtorch."; exit 1; }
building=$((SECONDS - started))

# As set-up does: every symbol is resolved. A wheel finds NVIDIA's libraries by itself; where it does not, that is said.
loads() {
  node -e 'process.dlopen({ exports: {} }, process.argv[1], require("os").constants.dlopen.RTLD_NOW)' \
    ".cache/torch-addon/$(<.cache/torch-addon/current)/torch.node" 2>>"$out/log.txt"
}
if ! loads; then
  echo "- the libraries of NVIDIA's wheels had to be named in LD_LIBRARY_PATH" | tee -a "$report"
  LD_LIBRARY_PATH=$(printf '%s:' "${libtorch%/torch}"/nvidia/*/lib)${LD_LIBRARY_PATH:-}
  export LD_LIBRARY_PATH
  loads || { tail -n 20 "$out/log.txt"; echo "The torch addon does not load."; exit 1; }
fi

say "## cornet-ts on $device, $(date -u +%Y-%m-%d)"
say ''
[[ $device == cpu ]] || nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader | sed 's/^/- card: /' | tee -a "$report"
say "- $(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(free -g | awk '/^Mem/ {print $2}') GiB"
say "- Node.js $(node --version), $("$python" -c 'import torch; print("PyTorch", torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version())')"
say "- addon built in $building s, without a CUDA toolkit"

# --- Compiling the peers, while nothing is measured --------------------------------------------------------------------------

batch=256
for ((i = 0; i < ${#options[@]}; i++)); do
  [[ ${options[i]} != --batch ]] || batch=${options[i + 1]}
done
compiling=()
if [[ $parts == *steps* ]]; then
  for model in ${models//,/ }; do
    timeout 240 "$python" test/bench/gpu/peer.py tuned "$model" "$batch" 1 "$device" >>"$out/log.txt" 2>&1 9>&- &
    compiling+=($!)
  done
fi

suite=(node node_modules/ava/entrypoints/cli.mjs dist/test/conformance/torch.test.js dist/test/parity/golden.test.js)

# --- The parts --------------------------------------------------------------------------------------------------------------

for part in ${parts//,/ }; do
  if [[ $part == steps ]]; then
    for pid in "${compiling[@]}"; do wait "$pid" || say "(a peer could not be compiled ahead: see log.txt)"; done
  fi
  seconds=$(left)
  if ((seconds < 20)); then
    say '' "$part: no time is left for it."
    failed+=("$part")
    continue
  fi
  ((seconds < ${patience[$part]:-120})) || seconds=${patience[$part]:-120}
  begun=$SECONDS
  # A worker's environment: cuBLAS refuses deterministic sums without the workspace.
  command=(node dist/test/bench/gpu/main.js "$part" "${options[@]}")
  [[ $part != suite ]] || command=("${suite[@]}")
  CORNET_BENCH_PART=$$-$part CORNET_TEST_DEVICE=$device CUBLAS_WORKSPACE_CONFIG=:4096:8 timeout -k 5 "$seconds" "${command[@]}" \
    2> >(tee -a "$out/log.txt" >"$out/$part.log") | tee -a "$report"
  code=${PIPESTATUS[0]}
  sweep "$$-$part"
  if ((code != 0)); then
    failed+=("$part")
    say '' "**$part failed** ($( ((code == 124 || code == 137)) && echo "not done within $seconds s" || echo "exit code $code")):"
    grep -vE '^\s*(at |$)' "$out/$part.log" | tail -n 6 | tee -a "$report"
  fi
  say '' "($part took $((SECONDS - begun)) s)"
done
rm -rf "$out/inductor"
say '' "All in $((SECONDS - started)) s. Failed: ${failed[*]:-nothing}."
exit ${#failed[@]}
