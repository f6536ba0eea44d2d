#!/usr/bin/env bash
# Packs what test/bench/gpu.sh needs on a machine that has a GPU, a Python with PyTorch and a C++ compiler, but neither
# Node.js nor a network: Node.js, redis-server, the compiled project, its npm packages. The torch addon is built there.
#
#   test/bench/gpu-pack.sh [FILE]     (default gpu-bundle.tar.xz; after `npm run setup`)
#
# There:  mkdir cornet && tar -xJf gpu-bundle.tar.xz -C cornet && cornet/test/bench/gpu.sh
set -euo pipefail

file=$(realpath -m "${1:-gpu-bundle.tar.xz}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/bundle/bin" "$stage/bundle/lib" "$stage/bundle/redis" "$stage/.cache"

# The project: compiled, with what the addon is built from and what the benchmark reads.
cp --parents -r package.json ava.config.js deploy/setup/build-addon.sh worker/backend/torch/addon test/fixtures/golden coordinator/watch/page "$stage"
cp --parents test/bench/*.py test/bench/gpu/*.py test/bench/gpu.sh test/fixtures/images/{landscape,portrait,grey}.jpg "$stage"
(cd dist && find coordinator worker shared test/{bench,conformance,helpers,parity} -name '*.js') |
  sed 's|^|dist/|' | xargs cp --parents -t "$stage"
cp -r --parents .cache/images-addon .cache/memory-addon "$stage"

# npm packages that run, and AVA for the suite, without what only people and compilers read.
node dist/test/bench/gpu/packed-packages.js | while read -r path; do
  cp -r --parents "$path" "$stage"
done
find "$stage/node_modules" -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' -o -name '*.md' \
  -o -name '*.ts' -o -name '*.markdown' \) -delete
rm -rf "$stage"/node_modules/luxon/{build/amd,build/es6,build/global,src} "$stage"/node_modules/zod/src

# Programs. redis-server gets its own libraries, which nobody else shall find.
cp -L "$(command -v node)" "$stage/bundle/bin/node"
cp -L "$(command -v redis-server)" "$stage/bundle/redis/redis-server"
ldd "$(command -v redis-server)" | sed -nE 's|.* => (/[^ ]+) .*|\1|p' |
  grep -vE '/(libc|libm|libstdc\+\+|libgcc_s|libpthread|libdl)\.so' | xargs cp -L -t "$stage/bundle/redis"
cat >"$stage/bundle/bin/redis-server" <<'WRAPPER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/../redis
LD_LIBRARY_PATH=$here exec "$here/redis-server" "$@"
WRAPPER
chmod +x "$stage/bundle/bin/redis-server"
strip "$stage/bundle/bin/node"

XZ_OPT=${XZ_OPT:--9e -T0} tar -C "$stage" -cJf "$file" .
echo "$file: $(($(stat -c %s "$file") / 1024)) KiB"
