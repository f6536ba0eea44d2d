#!/usr/bin/env bash
# Tries the CUDA build of libtorch on a machine without a GPU: fetches it as set-up does, builds the addon against it,
# loads that without a driver, and lets it compute on the CPU. It works in a copy of the compiled project, so that the
# addon that is in use stays in use.
#
#   test/setup/cuda-build.sh [cuda|cu126]
#
# CORNET_TORCH_VERSION is the version of torch, where an index has another than set-up asks for. What was fetched, some
# gigabytes, stays in .cache/cuda-build. Once it is there this takes some minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

choice=${1:-cuda}
[[ $choice =~ ^(cuda|cu126)$ ]] || { sed -n '6s/^# *//p' "$0" >&2; exit 2; }

# --- What deploy/setup.sh defines for deploy/setup/torch.sh ---------------------------------------------------------------------

setting() { sed -nE "s/^readonly $1=([^ ]*).*/\1/p" deploy/setup.sh; }
torch_version=${CORNET_TORCH_VERSION:-$(setting torch_version)}
torch_index=$(setting torch_index)
cache=$PWD/.cache/cuda-build
# shellcheck disable=SC2034 # read by deploy/setup/torch.sh
downloads=$cache me=$0
log=$cache/log
mkdir -p "$cache/libtorch" "$cache/torch-addon"
: >"$log"
has() { command -v "$1" >/dev/null; }
since() { awk -v start="$1" -v now="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", now - start }'; }
quietly() { "$@" >>"$log" 2>&1 </dev/null; }
install_packages() { return 1; }
fail() {
  tail -n 30 "$log" >&2
  printf 'Failed: %s\n' "$*" >&2
  exit 1
}
# shellcheck source=deploy/setup/torch.sh
source deploy/setup/torch.sh

# --- The build ------------------------------------------------------------------------------------------------------------

choose_cuda_build
from_cuda_wheel || fail "$why"
echo "  $(du -sh "$libtorch/.." | cut -f 1) in $(realpath --relative-to=. "$libtorch/..")"
# It also loads the addon, and every symbol is resolved.
addon_for_libtorch || fail "$why"

# --- A copy of the project that uses it -----------------------------------------------------------------------------------

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
npm run --silent build
cp -r dist deploy worker coordinator shared test docs package.json ava.config.js "$scratch"
ln -s "$PWD/node_modules" "$scratch/node_modules"
mkdir "$scratch/.cache"
ln -s "$cache/torch-addon" "$PWD"/.cache/{images,memory}-addon "$scratch/.cache"
cd "$scratch"

echo
echo "The addon, without a GPU:"
CUDA_VISIBLE_DEVICES=-1 node --input-type=module - <<'SCRIPT' || fail 'the addon is not what it should be'
import { loadTorchAddon } from './dist/worker/backend/torch/addon.js';
import { gpusProblem, cudaVersion } from './dist/worker/backend/torch/cuda.js';
const addon = loadTorchAddon();
const cuda = cudaVersion(addon.buildConfiguration());
const problem = gpusProblem(addon);
console.log(`  libtorch ${addon.version()}, CUDA ${cuda}, sees a GPU: ${addon.hasCuda()}`);
console.log(`  ${problem?.message} ${problem?.hint}`);
process.exit(cuda !== null && !addon.hasCuda() && problem !== null ? 0 : 1);
SCRIPT

echo
echo "The doctor, where nvidia-smi lists a GPU that no library sees:"
mkdir bin
gpu='7, GPU-11111111-aaaa-bbbb-cccc-000000000000, 24564, 23999, 580.159.04, NVIDIA Imaginary'
printf '#!/bin/sh\necho "%s"\n' "$gpu" >bin/nvidia-smi
chmod +x bin/nvidia-smi
findings=$(PATH=$scratch/bin:$PATH node dist/coordinator/main.js doctor -o runs) || fail "the doctor: $findings"
grep -E 'nvidia-smi|torch backend|device|Training' <<<"$findings" | sed 's/^/  /'
grep -qE "torch backend +libtorch $torch_version, CUDA [0-9]" <<<"$findings" || fail "the doctor does not name the build's CUDA"

echo
echo "Golden values, operations, engine and border, on the CPU:"
CUDA_VISIBLE_DEVICES=-1 node node_modules/ava/entrypoints/cli.mjs --tap \
  dist/test/parity/golden.test.js dist/test/conformance/torch.test.js dist/test/unit/torch-border.test.js >tap 2>&1 ||
  { grep -A 30 '^not ok' tap | head -n 60; fail 'tests'; }
sed -nE 's/^# (pass|fail) /  \1 /p' tap
