#!/usr/bin/env bash
# Checks the fused kernels without a GPU: runs them on the CPU, against sums in double precision.
#
#   test/setup/fused-kernels.sh [LIBNVRTC [LIBTORCH_DIR]]
#
# With the file of an NVRTC it compiles them through it, as the addon does; with a libtorch for CPUs, too, it builds an
# addon that takes the CPU for a GPU, and runs the check for GPUs with it. Where there is an nvcc, it says what
# registers the kernels need.
set -euo pipefail

root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
addon=$root/worker/backend/torch/addon
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed '1,/R"CUDA(/d;/^)CUDA"/,$d' "$addon/fused_kernels.h" >"$work/kernels.inc"
# Fused multiply-adds only where the source asks for them.
read -ra extra_flags <<<"${CXXFLAGS:-}"
"${CXX:-g++}" -std=c++20 -O2 -ffp-contract=off "${extra_flags[@]}" -Wall -Wno-unknown-pragmas "-I$work" "-I$root/test/setup/fused" \
  "$root/test/setup/fused/check.cc" -o "$work/check"
"$work/check"

if [[ -n ${1:-} ]]; then
  "${CXX:-g++}" -std=c++20 -O1 "-I$addon" "$root/test/setup/fused/compile.cc" "$addon/kernels.cc" -o "$work/compile" -ldl
  "$work/compile" "$1"
fi

if [[ -n ${2:-} ]]; then
  "${CXX:-g++}" -std=c++20 -O2 -ffp-contract=off -fPIC -shared -Wno-unknown-pragmas "-I$work" "-I$root/test/setup/fused" \
    "$root/test/setup/fused/driver.cc" -Wl,-soname,libcuda.so.1 -o "$work/libcuda.so.1"
  ln -s "$(realpath "$1")" "$work/libcaffe2_nvrtc.so"
  mkdir -p "$work/tree/worker/backend/torch"
  cp -r "$root/deploy" "$root/dist" "$root/package.json" "$work/tree"
  cp -r "$addon" "$work/tree/worker/backend/torch/addon"
  ln -s "$root/node_modules" "$work/tree/node_modules"
  sed -i 's/c10::kCUDA/c10::kCPU/' "$work/tree/worker/backend/torch/addon/fused.cc"
  "$work/tree/deploy/setup/build-addon.sh" torch "$2"
  LD_LIBRARY_PATH=$work node "$work/tree/dist/test/bench/gpu/fused-check.js" cpu 2
fi

if command -v nvcc >/dev/null; then
  cp "$work/kernels.inc" "$work/kernels.cu"
  for architecture in sm_75 sm_80 sm_90; do
    echo "$architecture"
    nvcc -std=c++17 -cubin "-arch=$architecture" -Xptxas -v "$work/kernels.cu" -o "$work/kernels.cubin" 2>&1 |
      grep -oE "function '[^']*' for|[0-9]+ bytes spill stores|Used [0-9]+ registers|error.*" | paste - - -
  done
fi
