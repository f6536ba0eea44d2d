#!/usr/bin/env bash
# Builds one of the worker's N-API addons:
#
#   deploy/setup/build-addon.sh torch LIBTORCH_DIR [CACHE_DIR]
#   deploy/setup/build-addon.sh tensorflow LIBTENSORFLOW_DIR PACKAGE_DIR [CACHE_DIR]
#   deploy/setup/build-addon.sh images LIBJPEG [CACHE_DIR]
#   deploy/setup/build-addon.sh memory [CACHE_DIR]
#
# torch: the backend. LIBTORCH_DIR has include/ and lib/, as the unpacked libtorch and the torch/ folder of a Python
# wheel do; /usr where the distribution's libtorch-dev is installed. No CMake: find_package(Torch) of a CUDA build
# demands a CUDA toolkit, which the addon has no use for.
#
# tensorflow: the addon of the package @tensorflow/tfjs-node-gpu in PACKAGE_DIR, from the package's own sources.
# LIBTENSORFLOW_DIR has include/ and the libraries, beside it or in lib/, as the tensorflow/ folder of a Python wheel and
# the unpacked libtensorflow do.
#
# images: decodes JPEG files fast, with the libjpeg-turbo in the file LIBJPEG, of which it keeps a copy beside itself.
# Without it they are decoded by sharp, to the same bits.
#
# memory: what workers of one machine need to read each other's vectors where they lie. Without it they send them over
# sockets.
#
# The addon goes to CACHE_DIR/<version>-<hash>/<name>.node (default .cache/<name>-addon), built only if it is not
# there; CACHE_DIR/current names the one that workers load. $CXX is the compiler (default g++), $CXXFLAGS come last.
set -euo pipefail

fail() {
  echo "build-addon: $*" >&2
  exit 1
}

root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
cxx=${CXX:-g++}
command -v "$cxx" >/dev/null || fail "no C++ compiler '$cxx': install g++ or set CXX"

node_headers=
for candidate in "$root/node_modules" "$root/../../node_modules" "$root/.."; do
  [[ -f $candidate/node-api-headers/include/node_api.h ]] && node_headers=$candidate && break
done
[[ -n $node_headers ]] || fail "no node-api-headers in $root/node_modules: run 'npm ci' first"

# Each sets $version, the name of what the addon is built against, $sources, ${flags[@]} and ${link[@]}; and, where a
# library goes with the addon, ${beside[@]}.

against_libtorch() {
  local libtorch=$1 include=$1/include lib='' candidate library version_header standard new_abi
  [[ -f $include/ATen/Version.h ]] || fail "no libtorch headers in $include"
  for candidate in "$libtorch/lib" "$libtorch/lib/$("$cxx" -dumpmachine)" "$libtorch/lib/x86_64-linux-gnu" "$libtorch/lib64"; do
    [[ -f $candidate/libtorch_cpu.so ]] && lib=$candidate && break
  done
  [[ -n $lib ]] || fail "no libtorch_cpu.so below $libtorch/lib"

  version_header=$include/torch/headeronly/version.h
  [[ -f $version_header ]] || version_header=$include/torch/csrc/api/include/torch/version.h
  version=$(for part in MAJOR MINOR PATCH; do
    sed -n "s/^#define TORCH_VERSION_$part \([0-9]*\).*/\1/p" "$version_header"
  done | paste -sd .)
  [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "cannot read libtorch's version from $version_header"

  # Headers of libtorch 2 ask for C++20 nowadays; those of 1.x do not compile as such.
  standard=c++20
  ((${version%%.*} >= 2)) || standard=c++17

  # libtorch and the addon must agree on the layout of std::string.
  new_abi=0
  grep -q '_ZN3c105Error.*__cxx11' "$lib/libc10.so" && new_abi=1

  sources=$root/worker/backend/torch/addon
  flags=("-std=$standard" -O2 "-D_GLIBCXX_USE_CXX11_ABI=$new_abi" "-I$include" "-I$include/torch/csrc/api/include")
  # Nothing in the addon names a CUDA symbol, but the library has to be loaded to register its kernels.
  link=("-L$lib" "-Wl,-rpath,$lib" "-Wl,--no-as-needed" -ltorch_cpu -lc10)
  for library in torch_cuda c10_cuda; do
    [[ ! -f $lib/lib$library.so ]] || link+=("-l$library")
  done
  link+=("-Wl,--as-needed" -ldl)
}

against_libtensorflow() {
  local libtensorflow=$1 package=$2 lib='' candidate
  [[ -f $libtensorflow/include/tensorflow/c/eager/c_api.h ]] || fail "no TensorFlow headers in $libtensorflow/include"
  [[ -f $package/binding/tfjs_backend.cc ]] || fail "no sources of the addon in $package/binding"
  # The library of a wheel is called libtensorflow_cc.so.2, that of the C distribution libtensorflow.so.2.
  for candidate in "$libtensorflow"/{,lib/}libtensorflow{_cc,}.so.2; do
    [[ -f $candidate ]] && lib=$candidate && break
  done
  [[ -n $lib ]] || fail "no libtensorflow_cc.so.2 or libtensorflow.so.2 in $libtensorflow or $libtensorflow/lib"
  version=$(cat "$lib" "${lib%/*}/libtensorflow_framework.so.2" | sha256sum | cut -c1-8) # stands in each run's numerics
  sources=$package/binding
  flags=(-std=c++17 -O2 -DNAPI_VERSION=8 "-I$libtensorflow/include")
  # RPATH, not RUNPATH: it holds for the CUDA libraries, too, that libtensorflow_framework opens by name.
  link=("-L${lib%/*}" "-Wl,--disable-new-dtags,-rpath,${lib%/*}" "-l:${lib##*/}" -l:libtensorflow_framework.so.2)
}

against_libjpeg() {
  local libjpeg=$1 include=$node_headers/@img/sharp-libvips-dev/include headers=$2/headers
  version=$(grep -aoE 'libjpeg-turbo version [0-9.]+' "$libjpeg" | cut -d' ' -f3)
  [[ -n $version ]] || fail "$libjpeg is no libjpeg-turbo, which alone can decode a part of an image"
  # The package's headers are those of another build: what libjpeg's structures look like depends on this one number.
  mkdir -p "$headers"
  cp "$include"/j{peglib,morecfg,error}.h "$headers"
  sed -E 's/^(#define JPEG_LIB_VERSION).*/\1 62/' "$include/jconfig.h" >"$headers/jconfig.h"
  sources=$root/worker/data/addon
  # Nobody looks at floating-point exceptions: loops may compute what a branch would not have. No value changes.
  flags=(-std=c++17 -O3 -fno-trapping-math -Wall -Wextra "-I$headers" "-DLIBJPEG_VERSION=\"$version\"")
  link=("$libjpeg" "-Wl,-rpath,\$ORIGIN")
  beside=("$libjpeg")
}

against_nothing() {
  version=1
  sources=$root/worker/memory/addon
  flags=(-std=c++17 -O3 -Wall -Wextra)
  link=()
}

name=${1:-}
beside=() # libraries that the addon is loaded with
case $name:$# in
  torch:[23])
    against_libtorch "$(realpath "$2")"
    cache=${3:-$root/.cache/torch-addon}
    ;;
  tensorflow:[34])
    against_libtensorflow "$(realpath "$2")" "$(realpath "$3")"
    cache=${4:-$root/.cache/tensorflow/addon}
    ;;
  images:[23])
    cache=${3:-$root/.cache/images-addon}
    against_libjpeg "$(realpath "$2")" "$cache"
    ;;
  memory:[12])
    cache=${2:-$root/.cache/memory-addon}
    against_nothing
    ;;
  *) fail "usage: deploy/setup/build-addon.sh torch LIBTORCH_DIR [CACHE_DIR] | tensorflow LIBTENSORFLOW_DIR PACKAGE_DIR [CACHE_DIR] | images LIBJPEG [CACHE_DIR] | memory [CACHE_DIR]" ;;
esac

read -ra extra_flags <<<"${CXXFLAGS:-}"
flags+=(
  -fPIC
  -ffp-contract=off                  # no fused multiply-add that the source does not ask for
  -DNODE_ADDON_API_CPP_EXCEPTIONS_ALL # a C++ exception becomes a JavaScript error
  -DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS # unless its thread is being ended, when no JavaScript can be run
  "-I$node_headers/node-api-headers/include" "-I$node_headers/node-addon-api"
  "${extra_flags[@]}"
)

files=()
for file in "$sources"/*.cc "$sources"/*.h; do [[ ! -f $file ]] || files+=("$file"); done
key=$(cat "${files[@]}" <(echo "$cxx ${flags[*]} ${link[*]}") | sha256sum | cut -c1-12)
output=$cache/$version-$key/$name.node

if [[ ! -f $output ]]; then
  echo "building the $name addon, version $version"
  mkdir -p "$(dirname "$output")"
  objects=$(mktemp -d)
  trap 'rm -rf "$objects"' EXIT
  jobs=()
  for source in "$sources"/*.cc; do
    "$cxx" "${flags[@]}" -c "$source" -o "$objects/$(basename "$source" .cc).o" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || fail "the compiler failed"; done
  "$cxx" -shared "${flags[@]}" "$objects"/*.o -o "$output.part" "${link[@]}"
  ((${#beside[@]} == 0)) || cp "${beside[@]}" "${output%/*}"
  mv "$output.part" "$output"
fi

# A rename, so that a worker that starts meanwhile never reads half a name.
echo "$version-$key" >"$cache/current.part"
mv "$cache/current.part" "$cache/current"
echo "$output"
