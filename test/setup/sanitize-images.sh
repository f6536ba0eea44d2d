#!/usr/bin/env bash
# Runs the tests of bad and damaged images and archives, and of effects, against an image addon that is built with AddressSanitizer and
# UndefinedBehaviorSanitizer, in a copy of the compiled project:
#
#   CORNET_FUZZ=10000 test/setup/sanitize-images.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -r dist deploy worker test package.json ava.config.js "$scratch"
ln -s "$PWD/node_modules" "$scratch/node_modules"
libjpeg=$(compgen -G "$PWD/.cache/pillow/*/pillow.libs/libjpeg-*" | tail -n 1)
cd "$scratch"

CXXFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined' \
  deploy/setup/build-addon.sh images "$libjpeg"

# Node itself is not built with the sanitizers: their runtime has to come first, and Node leaks at its end by design.
runtime=$("${CXX:-g++}" -print-file-name=libasan.so):$("${CXX:-g++}" -print-file-name=libubsan.so)
tests=(dist/test/unit/{archived-images,bad-images,effects,image-fuzz,image-formats,image-kinds,pixels}.test.js)
LD_PRELOAD=$runtime ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1 \
  node node_modules/ava/entrypoints/cli.mjs --serial "${tests[@]}"
