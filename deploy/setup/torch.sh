# shellcheck shell=bash disable=SC2154 # what setup.sh sets
# The torch backend, as a part of deploy/setup.sh: a libtorch from the first source that has one, and the addon for it.

# Each source sets $libtorch, or fails and leaves the reason in $why (none: it is just not there).

# failed_before MARKER: what failed while another source worked is not tried again on every run, only when it changed
# or is asked for by name.
failed_before() {
  failed=$1
  [[ $choice == auto && -e $failed ]]
}

is_libtorch() {
  [[ -d $1/include/torch/csrc/api/include ]] &&
    [[ -e $1/lib/libtorch_cpu.so || -e $1/lib/$(uname -m)-linux-gnu/libtorch_cpu.so ]]
}

from_environment() {
  [[ -n ${LIBTORCH:-} ]] || return 1
  why="$LIBTORCH has no include/torch or no lib/libtorch_cpu.so"
  is_libtorch "$LIBTORCH" || return 1
  libtorch=$(realpath "$LIBTORCH")
}

# Finds the package without importing it, which would take seconds; that the addon loads is the better test anyway.
from_python() {
  has python3 || return 1
  libtorch=$(cd / && python3 -c '
import importlib.util
spec = importlib.util.find_spec("torch")
print(*(spec and spec.submodule_search_locations or [])[:1])') || return 1
  [[ -n $libtorch ]] || return 1
  why="the torch of $(command -v python3), $libtorch, comes without C++ headers or libraries"
  is_libtorch "$libtorch"
}

# The user's settings of Python and pip change nothing, but for those that say where packages come from.
clean_pip() { "$python" -E deploy/setup/clean_pip.py "$@"; }

# Sets $python to one that has pip: the first in the path may be that of an environment without.
has_pip() {
  for python in python3 /usr/bin/python3; do
    ! clean_pip --version &>/dev/null || return 0
  done
  return 1
}

get_pip() { has_pip || { (install_packages python3-pip) && has_pip; }; }

# Three '=' compare letter by letter: two would take 2.13.0+cpu for 2.13.0 where pip has been told of one.
unpack_cpu_wheel() {
  "$python" -E deploy/setup/wheels.py "$1" "torch===$torch_version+cpu" --extra-index-url "$torch_index/cpu"
}

# The wheel of PyPI, which has no name of a build, is for CUDA 13, though not on every kind of machine.
unpack_cuda_wheel() {
  local version versions=("$torch_version+$cuda_build") options
  [[ $cuda_build != cu130 ]] || versions=("$torch_version" "${versions[@]}")
  for version in "${versions[@]}"; do
    options=()
    [[ $version != *+* ]] || options=(--extra-index-url "$torch_index/$cuda_build")
    rm -rf "${1:?}"/{torch,torch.libs,nvidia}
    "$python" -E deploy/setup/wheels.py "$1" "torch===$version" "${options[@]}" || continue
    [[ ! -e $1/torch/lib/libtorch_cuda.so ]] || return 0
    echo "the pip wheel of torch $version for $(uname -m) holds no CUDA" | tee "$1/reason"
  done
  return 1
}

# What nvidia-smi says, and be it with an error, as where one of the GPUs has fallen off the bus.
ask_gpus() { timeout 60 nvidia-smi "$@" 2>/dev/null || true; }

# Sets $cuda_build to the build of libtorch that suits driver and GPUs; where none does, to nothing, with the reason in
# $no_cuda_build. $driver is empty where nvidia-smi shows no GPU; $cuda_note is what the user should know besides.
# CUDA 13 needs driver 580 and has no kernels for GPUs before Turing (7.5); CUDA 12.6 needs driver 525 and has none for
# those from Blackwell (10.0) on.
choose_cuda_build() {
  local table gpus cuda capability early='' middle='' late=''
  cuda_build='' no_cuda_build='nvidia-smi shows no GPU' cuda_note='' driver=''
  case $choice in
    cuda) cuda_build=cu130 ;;
    cu126) cuda_build=cu126 ;;
  esac
  [[ -z $cuda_build ]] || return 0

  table=$(ask_gpus)
  gpus=$(ask_gpus --query-gpu=driver_version,compute_cap --format=csv,noheader) # before driver 510: an error
  # The heading is missing where a GPU is lost. Since driver 610 it has other words.
  if [[ $'\n'$gpus =~ $'\n'([0-9]+\.[0-9.]+),\  || $table =~ (Driver|KMD)\ Version:\ *([0-9]+[0-9.]*) ]]; then
    driver=${BASH_REMATCH[2]:-${BASH_REMATCH[1]}}
  else
    return 0
  fi
  # Libraries of a newer CUDA can lie over an older driver: what the heading says counts.
  if [[ $table =~ CUDA(\ UMD)?\ Version:\ *([0-9]+) ]]; then
    cuda=${BASH_REMATCH[2]}
  else
    cuda=$((${driver%%.*} >= 580 ? 13 : ${driver%%.*} >= 525 ? 12 : 11))
  fi
  while read -r capability; do
    if ((capability < 75)); then early=yes; elif ((capability < 100)); then middle=yes; else late=yes; fi
  done < <(sed -nE 's/^[0-9.]+, ([0-9]+)\.([0-9])$/\1\2/p' <<<"$gpus")

  if ((cuda < 12)); then
    no_cuda_build="driver $driver is too old for CUDA 12: install 525 or newer"
  elif ((cuda < 13)) && [[ -n $late && -z $early$middle ]]; then
    no_cuda_build="driver $driver is too old for CUDA 13, which GPUs of compute capability 10.0 and above (Blackwell) need: install 580 or newer"
  elif ((cuda < 13)); then
    cuda_build=cu126
    [[ -z $late ]] || cuda_note="GPUs of compute capability 10.0 and above (Blackwell) stay unused: they need driver 580 or newer, and this is $driver."
  elif [[ -n $early && -z $late ]]; then
    cuda_build=cu126
  else
    cuda_build=cu130
    [[ -z $early ]] || cuda_note='GPUs of compute capability below 7.5 stay unused: no libtorch has kernels for them and for Blackwell, too.'
  fi
}

# from_wheel NAME SIZE FETCH: FETCH fills a folder, which is kept under NAME once it is whole.
from_wheel() {
  local folder=$downloads/libtorch/$1 start=$EPOCHREALTIME
  libtorch=$folder/torch
  is_libtorch "$libtorch" && return
  why="the pip wheel of torch $1 could not be had before; '$me --libtorch wheel' tries again"
  ! failed_before "$folder.failed" || return 1
  why="pip, with which the wheel is downloaded, is missing"
  get_pip || { failed=''; return 1; }
  why="the pip wheel of torch $1 cannot be had (see $log)"
  echo "Downloading libtorch, the pip wheel of torch $1 ($2) ..."
  rm -rf "$folder" "$folder.part"
  mkdir -p "$folder.part"
  if ! quietly "$3" "$folder.part"; then
    [[ ! -e $folder.part/reason ]] || why=$(<"$folder.part/reason")
    rm -rf "$folder.part"
    return 1
  fi
  rm -f "$folder.part/reason"
  mv "$folder.part" "$folder"
  echo "  done in $(since "$start")"
}

from_cpu_wheel() { from_wheel "$torch_version+cpu" 'about 200 MB' unpack_cpu_wheel; }

from_cuda_wheel() {
  why=$no_cuda_build failed=''
  [[ -n $cuda_build ]] || return 1
  [[ -z $cuda_note ]] || echo "$cuda_note"
  from_wheel "$torch_version+$cuda_build" 'with the CUDA libraries, some gigabytes' unpack_cuda_wheel
}

from_debian() {
  local missing=() package
  for package in libtorch-dev libopenblas0-pthread; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  why="the packages ${missing[*]} are not installed"
  ((${#missing[@]} == 0)) || (install_packages "${missing[@]}") || return 1
  why="the package libtorch-dev holds no libtorch where it was looked for, in /usr"
  libtorch=/usr
  is_libtorch "$libtorch"
}

# Only where it was once chosen by name: it computes other bits than the wheel.
from_chosen_debian() {
  [[ -e $cache/torch-addon/debian-chosen ]] || return 1
  echo "libtorch: Debian's, as '--libtorch debian' chose before."
  from_debian
}

# Sets ${sources[@]}, which are tried one after the other, and $LIBTORCH where it was given on the command line.
choose_sources() {
  local wheels=(cpu_wheel)
  [[ -z $driver ]] || wheels=(cuda_wheel cpu_wheel)
  case $choice in
    auto) sources=(environment python "${wheels[@]}" chosen_debian) ;;
    wheel) sources=("${wheels[@]}") ;;
    cuda | cu126) sources=(cuda_wheel) ;;
    debian) sources=(debian) ;;
    *) LIBTORCH=$choice sources=(environment) ;;
  esac
}

# Builds the addon for $libtorch where that was not done yet, and loads it.
addon_for_libtorch() {
  local addons=$cache/torch-addon start=$EPOCHREALTIME library key version
  library=$(find -L "$libtorch/lib" -maxdepth 2 -name libtorch_cpu.so -print -quit)
  key=$(stat -L -c '%n %s %Y' "$library" | cat - worker/backend/torch/addon/* deploy/setup/build-addon.sh | sha256sum)
  why="the addon could not be built or loaded with the one in $libtorch before, and nothing changed since"
  ! failed_before "$addons/failed-${key:0:12}" || return 1
  why="the addon cannot be built or loaded with the one in $libtorch (see $log)"
  echo "Building the torch addon for the libtorch in $libtorch (a minute or more) ..."
  quietly deploy/setup/build-addon.sh torch "$libtorch" "$addons" && load_addon || return 1
  rm -f "$failed"
  version=$(cut -d - -f 1 "$addons/current")
  echo "  libtorch $version, done in $(since "$start")"
  [[ $version == "$torch_version" ]] || echo "  Its results are not the same bits as those of libtorch $torch_version."
}

# Every symbol is resolved, not only those that are called on loading.
load_addon() {
  quietly node -e 'process.dlopen({ exports: {} }, process.argv[1], require("os").constants.dlopen.RTLD_NOW)' \
    "$cache/torch-addon/$(<"$cache/torch-addon/current")/torch.node"
}

torch_backend() {
  local ready='' passed_over=() source
  for source in "${sources[@]}"; do
    why='' failed=''
    if "from_$source" && addon_for_libtorch; then
      ready=$source
      break
    fi
    [[ -z $why ]] || echo "libtorch: $why."
    [[ -z $failed ]] || passed_over+=("$failed")
  done
  if [[ -z $ready ]]; then
    tail -n 30 "$log" >&2
    [[ $choice == auto ]] || fail "No usable libtorch was found, and the torch backend cannot do without. The reasons stand above."
    fail "No usable libtorch was found; the reasons stand above. Debian's libtorch-dev is another version, whose results are" \
      "not the same bits, and is not taken unasked. If it will do: $me --libtorch debian"
  fi
  if [[ $choice == debian ]]; then
    touch "$cache/torch-addon/debian-chosen"
  elif [[ $choice != auto ]]; then
    rm -f "$cache/torch-addon/debian-chosen"
  fi
  ((${#passed_over[@]} == 0)) || touch "${passed_over[@]}"
  if [[ -n $driver && ! -e $libtorch/lib/libtorch_cuda.so ]]; then
    if [[ -n $cuda_build ]]; then
      echo "This libtorch has no CUDA, although nvidia-smi works: '$me --libtorch wheel' gets one that has."
    else
      echo "This libtorch has no CUDA, and none would work: $no_cuda_build."
    fi
  fi
}
