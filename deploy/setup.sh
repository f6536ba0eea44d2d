#!/usr/bin/env bash
# Makes a fresh clone ready to test, to demonstrate and to train, on Debian or Ubuntu; and, as `coordinator setup`, the
# installed package ready to train. Idempotent: a second run takes seconds and needs no network. It is bash, because in
# a clone it runs before anything else of the project can.
set -euo pipefail
export LC_ALL=C PYTHONUNBUFFERED=1
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly torch_version=2.13.0
readonly torch_index=https://download.pytorch.org/whl
readonly tensorflow_version=2.21.0
readonly pillow_version=12.3.0 # whose pixels worker/data/ makes
readonly lock_wait=3600 # seconds to wait for another set-up of the same package
readonly apt_wait=300   # seconds to wait for another apt-get of the same machine

# A clone has what the npm package has not. Where the package's folder belongs to somebody else, what is built goes to
# the user's cache, as shared/process/addon-file.ts expects it.
is_clone() { [[ -e tsconfig.json ]]; }
user_cache() {
  [[ ${XDG_CACHE_HOME:-} == /* ]] && echo "$XDG_CACHE_HOME/cornet-ts" || echo "$HOME/.cache/cornet-ts"
}
cache=$PWD/.cache downloads=$PWD/.cache
if ! mkdir -p "$cache" 2>/dev/null || [[ ! -w $cache ]]; then
  downloads=$(user_cache)
  cache=$downloads/$(sed -nE 's/^  "version": "(.*)",$/\1/p' package.json)
fi
readonly cache downloads log=$cache/setup.log
me='coordinator setup'
! is_clone || me=deploy/setup.sh

usage() {
  cat <<TEXT
Usage: $me [--libtorch auto|wheel|cuda|cu126|debian|DIR] [--tests]
       $me --backend tensorflow [--libtensorflow wheel|prebuilt|DIR] [--tests]

Sets up what is missing: a C++ compiler and redis-server from the distribution, libtorch, the torch addon and
the addons for images and for shared memory; in a clone the npm packages and the compiled TypeScript, too.

  --libtorch auto    (default) the first of these that works: \$LIBTORCH; the torch that python3 imports;
                     the pip wheel of torch $torch_version, for CUDA where nvidia-smi shows GPUs
  --libtorch wheel   only the pip wheel; the build for CUDA is the one that suits driver and GPUs
  --libtorch cuda    only the pip wheel for CUDA 13, also where no GPU is to be seen, as in the build of an image:
                     for drivers from 580 on, and GPUs from Turing on
  --libtorch cu126   only the pip wheel for CUDA 12.6, likewise: for drivers from 525 on, and GPUs before Blackwell
  --libtorch debian  only Debian's libtorch-dev, with OpenBLAS: another version, whose results are not the same bits;
                     once chosen, 'auto' takes it, too, where the wheel cannot be had
  --libtorch DIR     only the libtorch in DIR, which holds lib/ and include/
  --backend tensorflow
                     TensorFlow.js (@tensorflow/tfjs-node-gpu) instead of libtorch; what is there of libtorch stays
  --libtensorflow wheel
                     (default) the library in the pip wheel of TensorFlow $tensorflow_version, for CUDA where nvidia-smi works
  --libtensorflow prebuilt
                     the one that the npm package downloads by itself: TensorFlow 2.9.1 for CUDA 11.2
  --libtensorflow DIR
                     the one in DIR, which holds include/ and libtensorflow_cc.so.2 or lib/libtensorflow.so.2
  --tests            the programs, too, that only some tests use; those tests are skipped where they cannot be had
  --help             this text
TEXT
}

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

has() { command -v "$1" >/dev/null; }

# since START: the time that passed since START, which was $EPOCHREALTIME.
since() { awk -v start="$1" -v now="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", now - start }'; }

# quietly COMMAND...: the output goes to the log; only the size of a download is shown. Descriptor 9, the lock, is
# closed: a package may start a service that outlives this script.
quietly() {
  printf '\n$ %s\n' "$*" >>"$log"
  "$@" 9>&- 2>&1 </dev/null | tee -a "$log" |
    sed -unE 's/^ *(Downloading .*\.whl.* \([0-9.]+ [kMG]?B\)).*/  \1/p; s/^(Need to get [0-9].*)/  \1/p'
}

# step TITLE COMMAND...: runs the command and says how long it took; shows the end of its output where it fails.
step() {
  local title=$1 start=$EPOCHREALTIME log_size
  shift
  echo "$title ..."
  log_size=$(stat -c %s "$log")
  if quietly "$@"; then
    echo "  done in $(since "$start")"
  else
    tail -c "+$((log_size + 1))" "$log" | tail -n 30 >&2
    fail "Set-up failed at: $title. The whole output is in $log."
  fi
}

# --- Packages of the distribution -----------------------------------------------------------------------------------

may_install() {
  has apt-get || return 1
  ((EUID == 0)) && return
  has sudo || return 1
  sudo -n true 2>/dev/null && return
  [[ -t 0 ]] && sudo -v -p "Password of %p, to install $*: "
}

install_packages() {
  if ! may_install "$@"; then
    echo "Packages are missing and this user cannot install them. Ask an administrator to run:"
    echo "  apt-get install --no-install-recommends $*"
    return 1
  fi
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -o "DPkg::Lock::Timeout=$apt_wait")
  ((EUID == 0)) || apt=(sudo "${apt[@]}")
  step "Updating the list of packages" "${apt[@]}" update
  step "Installing $*" "${apt[@]}" install --no-install-recommends "$@"
}

# shellcheck source=deploy/setup/torch.sh
source deploy/setup/torch.sh
# shellcheck source=deploy/setup/tensorflow.sh
source deploy/setup/tensorflow.sh
# shellcheck source=deploy/setup/python.sh
source deploy/setup/python.sh

# --- The image addon ----------------------------------------------------------------------------------------------------

# Images are decoded with the libjpeg-turbo that Pillow brings along, the same on every host. Without it they are decoded
# by sharp, to the same bits but slower: no reason to stop.
image_addon() {
  local start=$EPOCHREALTIME libjpeg
  echo "Building the image addon ..."
  if find_libjpeg && quietly deploy/setup/build-addon.sh images "$libjpeg" "$cache/images-addon"; then
    echo "  done in $(since "$start")"
    return
  fi
  echo "The image addon, with which images are decoded fast, cannot be built (see $log)."
  echo "Images are decoded by sharp, which takes about five times as long."
}

# Sets $libjpeg.
find_libjpeg() {
  local folder=$downloads/pillow/$pillow_version
  libjpeg=$(compgen -G "$folder/pillow.libs/libjpeg-*" | head -n 1) && return
  get_pip || return 1
  rm -rf "$folder"
  quietly "$python" -E deploy/setup/wheels.py "$folder" "pillow==$pillow_version" || return 1
  libjpeg=$(compgen -G "$folder/pillow.libs/libjpeg-*" | head -n 1)
}

# --- The memory addon ---------------------------------------------------------------------------------------------------

# Workers of one machine read each other's vectors where they lie. Without it they send them: no reason to stop.
memory_addon() {
  local start=$EPOCHREALTIME
  echo "Building the memory addon ..."
  if quietly deploy/setup/build-addon.sh memory "$cache/memory-addon"; then
    echo "  done in $(since "$start")"
    return
  fi
  echo "The memory addon, with which workers of one machine share vectors, cannot be built (see $log)."
  echo "They send them over sockets, which takes several times as long."
}

# --- The rest of the project --------------------------------------------------------------------------------------------

npm_packages_agree() {
  node - <<'SCRIPT'
const { readFileSync } = require('node:fs');
const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
const installed = packages('node_modules/.package-lock.json');
const agrees = ([path, { integrity, optional }]) =>
  path === '' || (installed[path] ? installed[path].integrity === integrity : optional);
process.exit(Object.entries(packages('package-lock.json')).every(agrees) ? 0 : 1);
SCRIPT
}

# tsc leaves the output of a source that is gone, and AVA would run a test that is no more.
remove_stale_output() {
  local file source
  find dist -type f -name '*.js' | while read -r file; do
    source=${file#dist/}
    [[ -e ${source%.js}.ts ]] || rm -f "$file" "$file.map" "${file%.js}.d.ts"
  done
}

# --- Programs of the tests ----------------------------------------------------------------------------------------------

# Each is asked for by its command, and once: what could not be installed is not asked for again on every run.
test_packages() {
  local missing=() failed=() command package asked=$cache/test-packages.failed
  while read -r command package; do has "$command" || missing+=("$package"); done <<'TEXT'
chromium chromium
cjpeg libjpeg-turbo-progs
ip iproute2
kubectl kubernetes-client
openssl openssl
shellcheck shellcheck
TEXT
  ((${#missing[@]} > 0)) || return 0
  [[ ! -e $asked || $(<"$asked") != "${missing[*]}" ]] || return 0
  for package in "${missing[@]}"; do (install_packages "$package") || failed+=("$package"); done
  ((${#failed[@]} > 0)) || return 0
  echo "Tests that need ${failed[*]} will be skipped."
  echo "${failed[*]}" >"$asked"
}

# Prometheus is unpacked, not installed: the package would start a server, and this needs no administrator.
prometheus_for_tests() {
  local folder=$cache/prometheus asked=$cache/prometheus.failed
  has prometheus || [[ -x $folder/usr/bin/prometheus || -e $asked ]] && return
  echo "Downloading Prometheus, the package of the distribution, for the tests (about 30 MB) ..."
  rm -rf "$folder"
  mkdir -p "$folder/download"
  if quietly unpack_package prometheus "$folder"; then return; fi
  echo "It cannot be had (see $log): tests that need it will be skipped."
  rm -rf "$folder"
  touch "$asked"
}

unpack_package() {
  cd "$2/download" || return
  apt-get -o APT::Sandbox::User=root download "$1" ||
    { ((EUID == 0)) && apt-get update && apt-get -o APT::Sandbox::User=root download "$1"; } || return
  dpkg -x ./*.deb .. && rm -r "$2/download"
}

# npm_for_tests FOLDER PACKAGE TITLE: what only tests need has a package-lock.json of its own. No scripts: ONNX Runtime's
# would fetch libraries for GPUs.
npm_for_tests() {
  local folder=$1 package=$2 title=$3 asked=$cache/$2.failed
  [[ -d $folder/node_modules/$package || -e $asked ]] && return
  echo "Installing $title ..."
  if quietly npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund; then return; fi
  echo "It cannot be installed (see $log): the tests that need it will be skipped."
  touch "$asked"
}

# --- In order -----------------------------------------------------------------------------------------------------------

choice=auto
backend=torch
libtensorflow_choice=wheel
for_tests=
while (($# > 0)); do
  case $1 in
    --help) usage; exit ;;
    --tests) for_tests=yes; shift ;;
    --libtorch) choice=${2:-}; shift 2 || true ;;
    --backend) backend=${2:-}; shift 2 || true ;;
    --libtensorflow) libtensorflow_choice=${2:-}; shift 2 || true ;;
    *) choice= ;;
  esac
  [[ -n $choice && -n $libtensorflow_choice && $backend =~ ^(torch|tensorflow)$ ]] || { usage >&2; exit 2; }
done

start=$EPOCHREALTIME
mkdir -p "$cache/torch-addon" "$downloads/libtorch"
exec 9>"$cache/setup.lock"
flock -n 9 || { echo "Waiting for another set-up of this package ..."; flock -w "$lock_wait" 9; } ||
  fail "Another set-up of this package has been running for $lock_wait s."
: >"$log"

{ has node && has npm; } || fail "Node.js 20.19 or newer, with npm, is needed: https://nodejs.org/en/download"
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
  fail "Node.js 20.19 or newer is needed, and this is $(node --version): https://nodejs.org/en/download"

choose_cuda_build
choose_sources

missing=()
has "${CXX:-g++}" || missing+=(g++)
has redis-server || missing+=(redis-server)
has setpriv || missing+=(util-linux)
if ((${#missing[@]} > 0)); then
  # What will be needed next is asked for at once.
  if [[ $backend == tensorflow ]]; then
    [[ $libtensorflow_choice != wheel ]] || has_pip || missing+=(python3-pip)
  else
    [[ ${sources[*]} != *wheel* ]] || from_environment || from_python || has_pip || missing+=(python3-pip)
  fi
  install_packages "${missing[@]}" || exit 1
fi

[[ -z $for_tests ]] || { test_packages && prometheus_for_tests && begin_python_for_tests; }

! is_clone || npm_packages_agree 2>/dev/null ||
  step "Installing the npm packages (about 100 MB)" npm ci --include=dev --no-audit --no-fund

if [[ -n $for_tests ]] && is_clone; then
  npm_for_tests tools/typedoc typedoc 'typedoc, which documents the API (about 50 MB)'
  npm_for_tests test/onnxruntime onnxruntime-node 'ONNX Runtime, which runs exported graphs (about 290 MB)'
  npm_for_tests examples/browser onnxruntime-web 'ONNX Runtime for browsers, which an example uses (about 150 MB)'
fi

image_addon
memory_addon

case $backend in
  torch) torch_backend ;;
  tensorflow) tensorflow_backend ;;
esac

if is_clone; then
  step "Compiling the TypeScript" npm run --silent build
  remove_stale_output
fi
end_python_for_tests
echo "Set up in $(since "$start")."
