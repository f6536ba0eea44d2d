#!/usr/bin/env bash
# Proves on a minimal Debian, in a chroot, that a fresh clone needs nothing but Node and the commands of the README.
# Needs root, mmdebstrap, the network and about 6 GB; takes some minutes, most of them in the commands themselves.
#
#   sudo test/setup/chroot.sh [--prepare SCRIPT] [COMMAND...]
#
# SCRIPT is called with the chroot's folder, to put there what this network needs (certificates, mirrors, proxies).
# The COMMANDs default to `npm run demo` and `npm test`. What is cloned is the last commit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

prepare=true
if [[ ${1:-} == --prepare ]]; then
  prepare=$(realpath "$2")
  shift 2
fi
commands=("$@")
(($# > 0)) || commands=('npm run demo' 'npm test')

work=$(mktemp -d)
base=$work/base
output=$work/output
passed=0

cleanup() {
  local folder
  for folder in "$work"/*/root; do
    umount "$folder/dev" "$folder/proc" "$folder" 2>/dev/null || true
  done
  # A mount that is still there would be emptied with the folder.
  if grep -q " $work/" /proc/mounts; then echo "Still mounted: $work" >&2; else rm -rf "$work"; fi
}
trap cleanup EXIT

# A machine NAME: the base with a layer of its own above it.
new_machine() {
  machine=$work/$1/root
  mkdir -p "$machine" "$work/$1/upper" "$work/$1/scratch"
  mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/$1/upper,workdir=$work/$1/scratch" "$machine"
  mount -t proc proc "$machine/proc"
  mount --bind /dev "$machine/dev"
}

# as USER COMMAND: in the user's clone if there is one, else at home, with a bare environment.
as() {
  local user=$1 home=/home/$1
  [[ $user != root ]] || home=/root
  chroot --userspec="$user:$user" "$machine" env -i HOME="$home" USER="$user" LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    bash -c "cd ~/cornet-ts 2>/dev/null || cd; $2" </dev/null 2>&1 | tee "$output"
}

case_of() { printf '\n=== %s\n' "$*"; }

says() { grep -qE -- "$1" "$output" || { echo "!!! The output does not say: $1"; exit 1; }; passed=$((passed + 1)); }

says_not() { ! grep -qE -- "$1" "$output" || { echo "!!! The output says: $1"; exit 1; }; passed=$((passed + 1)); }

mmdebstrap --quiet --variant=minbase --include=git,ca-certificates bookworm "$base"
# Node as its own archive installs it, whatever way it came to this machine.
install -D "$(realpath "$(command -v node)")" "$base/usr/bin/node"
mkdir -p "$base/usr/lib/node_modules"
cp -rL "$(npm root --global 2>/dev/null)/npm" "$base/usr/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$base/usr/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$base/usr/bin/npx"
git bundle create --quiet "$base/srv/cornet-ts.bundle" HEAD
chroot "$base" useradd --create-home user
"$prepare" "$base"
clone='git -c advice.detachedHead=false clone --quiet /srv/cornet-ts.bundle ~/cornet-ts'

new_machine bare
case_of 'A user without root, on a bare machine: told which packages to ask for'
as user "$clone"
as user 'deploy/setup.sh && echo SET UP' || true
says 'apt-get install --no-install-recommends g\+\+ redis-server python3-pip'
says_not 'SET UP'

case_of 'Root, on a bare machine: the commands of the README'
as root "$clone"
for command in "${commands[@]}"; do
  time as root "$command && echo DONE"
  says '^DONE$'
done

case_of 'A second time, without a network: nothing is installed, fetched or compiled'
as root 'touch /tmp/before'
time unshare --net bash -c "$(declare -f as); machine=$machine output=$output; as root deploy/setup.sh"
says '^Set up in'
says_not 'Installing|Downloading'
as root 'find .cache dist node_modules -newer /tmp/before -name "*.node" -o -newer /tmp/before -name "*.js"'
says_not '.'

# shellcheck disable=SC2016 # expanded inside
case_of '$LIBTORCH comes first, and a broken one is named and passed over'
as root 'cp -rs ~/cornet-ts/.cache/libtorch/*/torch /opt/libtorch && LIBTORCH=/opt/libtorch deploy/setup.sh'
says 'addon for the libtorch in /opt/libtorch '
as root 'LIBTORCH=/nowhere deploy/setup.sh'
says '/nowhere has no'
says 'addon for the libtorch in .*/.cache/libtorch/'
says '^Set up in'

case_of 'A user without root, where the packages are there'
as user 'deploy/setup.sh'
says 'addon for the libtorch in /home/user/'
says '^Set up in'

new_machine without-wheel
case_of "A user with sudo, without the pip wheel: Debian's libtorch, once it is chosen"
as root 'apt-get -q update && apt-get -qy install sudo && echo "user ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/user'
as user "$clone"
without='PIP_NO_INDEX=1 PIP_FIND_LINKS=/nowhere deploy/setup.sh'
as user "! $without"
says 'the pip wheel of torch .* cannot be had'
says 'will do: deploy/setup.sh --libtorch debian'
as user "$without --libtorch debian"
says '^  libtorch 1\.13'
says '^Set up in'
as user "$without"
says "^libtorch: Debian's, as '--libtorch debian' chose before"
says '^Set up in'

printf '\n%d expectations met.\n' "$passed"
