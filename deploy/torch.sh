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

# Sets $python to one that has pip: the first in the path may be that of an environment without.
has_pip() {
  for python in python3 /usr/bin/python3; do
    ! "$python" -m pip --version &>/dev/null || return 0
  done
  return 1
}

get_pip() { has_pip || { (install_packages python3-pip) && has_pip; }; }

# Nothing of Python is needed later: only the headers and libraries are unpacked.
unpack_cpu_wheel() {
  "$python" -m pip download --no-deps --no-cache-dir --only-binary :all: --retries 2 --dest "$1" \
    --extra-index-url "$torch_index/cpu" "torch==$torch_version+cpu" || return 1
  "$python" -c '
import glob, sys, zipfile
(wheel,) = glob.glob(sys.argv[1] + "/*.whl")
with zipfile.ZipFile(wheel) as archive:
    wanted = ("torch/lib/", "torch/include/", "torch.libs/")
    archive.extractall(sys.argv[1], [name for name in archive.namelist() if name.startswith(wanted)])
' "$1" && rm "$1"/*.whl
}

# unpack_wheels FOLDER WHAT...: pip's own temporary files are as large, and /tmp may be half of the memory.
unpack_wheels() {
  local folder=$1
  shift
  mkdir -p "$folder/tmp"
  TMPDIR=$folder/tmp "$python" -m pip install --no-cache-dir --only-binary :all: --retries 2 --target "$folder" "$@" &&
    rm -rf "$folder/tmp"
}

# The CUDA wheel needs NVIDIA's wheels beside it, so pip installs it. PyPI's is built for CUDA 13; a driver that is
# too old for that gets the build for CUDA 12.6.
install_cuda_wheel() {
  local wheel=("torch==$torch_version")
  [[ $(cuda_build) == cuda ]] || wheel=(--extra-index-url "$torch_index/cu126" "torch==$torch_version+cu126")
  unpack_wheels "$1" "${wheel[@]}" || return 1
  [[ -e $1/torch/lib/libtorch_cuda.so ]] || fail "The wheel of torch $torch_version for $(uname -m) holds no CUDA."
}

# Since driver 610 the heading of nvidia-smi says "CUDA UMD Version".
cuda_build() {
  local driver
  case $choice in
    cuda | cu126) echo "$choice" ;;
    *)
      driver=$(nvidia-smi | sed -nE 's/.*CUDA( UMD)? Version: *([0-9]+).*/\2/p')
      ((${driver:-0} >= 13)) && echo cuda || echo cu126
      ;;
  esac
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
  quietly "$3" "$folder.part" || { rm -rf "$folder.part"; return 1; }
  mv "$folder.part" "$folder"
  echo "  done in $(since "$start")"
}

from_cpu_wheel() { from_wheel "$torch_version+cpu" 'about 200 MB' unpack_cpu_wheel; }

from_cuda_wheel() { from_wheel "$torch_version+$(cuda_build)" 'with the CUDA libraries, some gigabytes' install_cuda_wheel; }

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

# Builds the addon for $libtorch where that was not done yet, and loads it.
addon_for_libtorch() {
  local addons=$cache/torch-addon start=$EPOCHREALTIME library key
  library=$(find -L "$libtorch/lib" -maxdepth 2 -name libtorch_cpu.so -print -quit)
  key=$(stat -L -c '%n %s %Y' "$library" | cat - worker/backend/torch/addon/* deploy/build-addon.sh | sha256sum)
  why="the addon could not be built or loaded with the one in $libtorch before, and nothing changed since"
  ! failed_before "$addons/failed-${key:0:12}" || return 1
  why="the addon cannot be built or loaded with the one in $libtorch (see $log)"
  echo "Building the torch addon for the libtorch in $libtorch ..."
  quietly deploy/build-addon.sh torch "$libtorch" "$addons" && load_addon || return 1
  rm -f "$failed"
  echo "  libtorch $(cut -d - -f 1 "$addons/current"), done in $(since "$start")"
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
    fail "No usable libtorch was found, and the torch backend cannot do without. The reasons stand above."
  fi
  ((${#passed_over[@]} == 0)) || touch "${passed_over[@]}"
  if ((${#wheels[@]} > 1)) && [[ ! -e $libtorch/lib/libtorch_cuda.so ]]; then
    echo "This libtorch has no CUDA, although nvidia-smi works: '$me --libtorch wheel' gets one that has."
  fi
}
