#!/usr/bin/env bash
# Checks the fused kernels without a card: runs them on the CPU, against sums in double precision.
#
#   test/setup/fused-kernels.sh [LIBNVRTC]
#
# With the file of an NVRTC it compiles them through it, as the addon does; where there is an nvcc, it says what
# registers they need.
set -euo pipefail

root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
addon=$root/worker/backend/torch/addon
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed '1,/R"CUDA(/d;/^)CUDA"/,$d' "$addon/fused_kernels.h" >"$work/kernels.inc"
# Fused multiply-adds only where the source asks for them.
"${CXX:-g++}" -std=c++20 -O2 -ffp-contract=off ${CXXFLAGS:-} -Wall -Wno-unknown-pragmas "-I$work" "-I$root/test/setup/fused" \
  "$root/test/setup/fused/check.cc" -o "$work/check"
"$work/check"

if [[ -n ${1:-} ]]; then
  "${CXX:-g++}" -std=c++20 -O1 "-I$addon" "$root/test/setup/fused/compile.cc" "$addon/kernels.cc" -o "$work/compile" -ldl
  "$work/compile" "$1"
fi

if command -v nvcc >/dev/null; then
  cp "$work/kernels.inc" "$work/kernels.cu"
  for architecture in sm_75 sm_80 sm_90; do
    echo "$architecture"
    nvcc -std=c++17 -cubin "-arch=$architecture" -Xptxas -v "$work/kernels.cu" -o "$work/kernels.cubin" 2>&1 |
      grep -oE "function '[^']*' for|[0-9]+ bytes spill stores|Used [0-9]+ registers|error.*" | paste - - -
  done
fi
