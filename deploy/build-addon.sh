#!/usr/bin/env bash
# Builds the worker's N-API addon against a libtorch:
#
#   deploy/build-addon.sh LIBTORCH_DIR [CACHE_DIR]
#
# LIBTORCH_DIR has include/ and lib/, as the unpacked libtorch and the torch/ folder of a Python wheel do; /usr where
# the distribution's libtorch-dev is installed. The addon goes to CACHE_DIR/<version>-<hash>/torch.node (default
# .cache/torch-addon), built only if it is not there; CACHE_DIR/current names the one that workers load.
# $CXX is the compiler (default g++). No CMake: find_package(Torch) of a CUDA build demands a CUDA toolkit, which the
# addon has no use for.
set -euo pipefail

fail() {
  echo "build-addon: $*" >&2
  exit 1
}

[[ $# -ge 1 && $# -le 2 ]] || fail "usage: deploy/build-addon.sh LIBTORCH_DIR [CACHE_DIR]"
libtorch=$(realpath "$1")
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
cache=${2:-$root/.cache/torch-addon}
sources=$root/worker/backend/torch/addon
cxx=${CXX:-g++}

command -v "$cxx" >/dev/null || fail "no C++ compiler '$cxx': install g++ or set CXX"

include=$libtorch/include
[[ -f $include/ATen/Version.h ]] || fail "no libtorch headers in $include"
lib=
for candidate in "$libtorch/lib" "$libtorch/lib/$("$cxx" -dumpmachine)" "$libtorch/lib/x86_64-linux-gnu" "$libtorch/lib64"; do
  [[ -f $candidate/libtorch_cpu.so ]] && lib=$candidate && break
done
[[ -n $lib ]] || fail "no libtorch_cpu.so below $libtorch/lib"

node_headers=
for candidate in "$root/node_modules" "$root/../../node_modules" "$root/.."; do
  [[ -f $candidate/node-api-headers/include/node_api.h ]] && node_headers=$candidate && break
done
[[ -n $node_headers ]] || fail "no node-api-headers in $root/node_modules: run 'npm ci' first"

version_header=$include/torch/headeronly/version.h
[[ -f $version_header ]] || version_header=$include/torch/csrc/api/include/torch/version.h
version_part() { sed -n "s/^#define TORCH_VERSION_$1 \([0-9]*\).*/\1/p" "$version_header"; }
major=$(version_part MAJOR)
version=$major.$(version_part MINOR).$(version_part PATCH)
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "cannot read libtorch's version from $version_header"

# Headers of libtorch 2 ask for C++20 nowadays; those of 1.x do not compile as such.
standard=c++20
((major >= 2)) || standard=c++17

# libtorch and the addon must agree on the layout of std::string.
new_abi=0
grep -q '_ZN3c105Error.*__cxx11' "$lib/libc10.so" && new_abi=1

flags=(
  -std=$standard -O2 -fPIC
  -ffp-contract=off # no fused multiply-add that the source does not ask for
  -D_GLIBCXX_USE_CXX11_ABI=$new_abi
  -DNAPI_CPP_EXCEPTIONS
  "-I$include" "-I$include/torch/csrc/api/include"
  "-I$node_headers/node-api-headers/include" "-I$node_headers/node-addon-api"
)
# Nothing in the addon names a CUDA symbol, but the library has to be loaded to register its kernels.
libraries=(-ltorch_cpu -lc10)
for name in torch_cuda c10_cuda; do
  [[ -f $lib/lib$name.so ]] && libraries+=("-l$name")
done
link=("-L$lib" "-Wl,-rpath,$lib" -Wl,--no-as-needed "${libraries[@]}" -Wl,--as-needed -ldl)

key=$(cat "$sources"/*.cc "$sources"/*.h <(echo "$cxx ${flags[*]} ${link[*]}") | sha256sum | cut -c1-12)
output=$cache/$version-$key/torch.node

if [[ ! -f $output ]]; then
  echo "building the torch addon against libtorch $version in $libtorch"
  mkdir -p "$(dirname "$output")"
  objects=$(mktemp -d)
  trap 'rm -rf "$objects"' EXIT
  jobs=()
  for source in "$sources"/*.cc; do
    "$cxx" "${flags[@]}" -c "$source" -o "$objects/$(basename "$source" .cc).o" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || fail "the compiler failed"; done
  "$cxx" -shared "$objects"/*.o -o "$output.part" "${link[@]}"
  mv "$output.part" "$output"
fi

# A rename, so that a worker that starts meanwhile never reads half a name.
echo "$version-$key" >"$cache/current.part"
mv "$cache/current.part" "$cache/current"
echo "$output"
