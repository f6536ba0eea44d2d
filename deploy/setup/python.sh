# shellcheck shell=bash disable=SC2154 # what setup.sh sets
# The Python of the tests, as a part of deploy/setup.sh --tests.

# A Python with PyTorch and Pillow, which the tests compare with, and with what the notebook in examples/ uses. Its
# packages are pip's, of the Python that has one: a Debian without python3-venv has no pip for a new environment.
python_for_tests() {
  local folder=$cache/python asked=$cache/python.failed start=$EPOCHREALTIME
  local wanted="torch $torch_version, Pillow $pillow_version, xarray, pandas, matplotlib"
  [[ -z ${CORNET_PYTHON:-} ]] || return 0
  ! holds_packages "$folder" "$wanted" || return 0
  if [[ -e $asked && $(<"$asked") == "$wanted" ]]; then
    echo "Tests that compare with PyTorch and Pillow will be skipped: they could not be had before. Without $asked they are tried again."
    return
  fi
  echo "Installing $wanted for the tests, in $folder (about 300 MB) ..."
  if get_pip && quietly python_with_packages "$folder" && echo "$wanted" >"$folder/holds"; then
    rm -f "$asked"
    echo "  done in $(since "$start")"
    return
  fi
  echo "They cannot be had (see $log): tests that compare with them will be skipped."
  rm -rf "$folder"
  echo "$wanted" >"$asked"
}

packages_of() { "$1/bin/python" -E -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# A newer Python of the distribution has its packages elsewhere.
holds_packages() { [[ -e $1/holds && $(<"$1/holds") == "$2" && -d $(packages_of "$1")/torch ]]; }

# With the last names comes what torch itself requires: pip would ask torch's index for each of them.
python_with_packages() {
  local packages options=(--no-cache-dir --only-binary :all: --retries 2)
  rm -rf "$1"
  "$python" -E -m venv --without-pip "$1" && packages=$(packages_of "$1") && mkdir "$1/tmp" || return
  options+=(--target "$packages")
  export TMPDIR=$1/tmp # pip's temporary files are as large, and /tmp may be half of the memory
  clean_pip install "${options[@]}" --no-deps --extra-index-url "$torch_index/cpu" "torch===$torch_version+cpu" &&
    clean_pip install "${options[@]}" numpy "Pillow==$pillow_version" safetensors xarray pandas matplotlib \
      filelock fsspec jinja2 networkx setuptools sympy typing_extensions &&
    "$1/bin/python" -E -c 'import matplotlib, numpy, pandas, PIL.Image, safetensors.torch, torch, xarray' && rm -r "$1/tmp"
}
