#!/usr/bin/env bash
# Builds the worker's image addon, with which JPEG files are decoded fast, against the distribution's libjpeg-turbo:
#
#   deploy/build-image-addon.sh [CACHE_DIR]
#
# The addon goes to CACHE_DIR/<hash>/images.node (default .cache/image-addon), built only if it is not there;
# CACHE_DIR/current names the one that workers load. $CXX is the compiler (default g++), $CXXFLAGS comes last.
# Without this addon images are decoded by sharp, to the same bits.
set -euo pipefail

fail() {
  echo "build-image-addon: $*" >&2
  exit 1
}

(($# <= 1)) || fail "usage: deploy/build-image-addon.sh [CACHE_DIR]"
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
cache=${1:-$root/.cache/image-addon}
sources=$root/worker/data/addon
cxx=${CXX:-g++}

command -v "$cxx" >/dev/null || fail "no C++ compiler '$cxx': install g++ or set CXX"

node_headers=
for candidate in "$root/node_modules" "$root/../../node_modules" "$root/.."; do
  [[ -f $candidate/node-api-headers/include/node_api.h ]] && node_headers=$candidate && break
done
[[ -n $node_headers ]] || fail "no node-api-headers in $root/node_modules: run 'npm ci' first"

# Not every libjpeg is libjpeg-turbo, which alone can decode a part of a picture.
jpeg=$("$cxx" -E -dM -include cstdio -include jpeglib.h -x c++ /dev/null 2>/dev/null |
  sed -n 's/^#define LIBJPEG_TURBO_VERSION //p')
[[ -n $jpeg ]] || fail "no headers of libjpeg-turbo: install libjpeg-dev"

read -ra extra <<<"${CXXFLAGS:-}"
flags=(
  -std=c++17 -O3 -fPIC -Wall -Wextra
  -Wno-psabi        # vectors are never passed by value
  -ffp-contract=off # no fused multiply-add that the source does not ask for
  -DNAPI_CPP_EXCEPTIONS
  "-I$node_headers/node-api-headers/include" "-I$node_headers/node-addon-api"
  "${extra[@]}"
)
key=$(cat "$sources"/*.cc "$sources"/*.h <(echo "$cxx ${flags[*]} $jpeg") | sha256sum | cut -c1-12)
output=$cache/$key/images.node

if [[ ! -f $output ]]; then
  echo "building the image addon against libjpeg-turbo $jpeg"
  mkdir -p "$(dirname "$output")"
  "$cxx" "${flags[@]}" -shared "$sources"/*.cc -o "$output.part" -ljpeg || fail "the compiler failed"
  mv "$output.part" "$output"
fi

# A rename, so that a worker that starts meanwhile never reads half a name.
echo "$key" >"$cache/current.part"
mv "$cache/current.part" "$cache/current"
echo "$output"
