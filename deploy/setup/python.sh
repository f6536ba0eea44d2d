# shellcheck shell=bash disable=SC2154 # what setup.sh sets
# The Python of the tests, as a part of deploy/setup.sh --tests.

# A Python with PyTorch and Pillow, which the tests compare with, with what the notebook in examples/ uses, and with the
# TensorBoard that reads the files of --tensorboard. Its packages are pip's, of the Python that has one: a Debian without
# python3-venv has no pip for a new environment. It is made beside the rest of the set-up, which takes as long and needs
# nothing of it.
begin_python_for_tests() {
  python_folder=$cache/python python_failed=$cache/python.failed python_start=$EPOCHREALTIME python_process=
  python_wanted="torch $torch_version, Pillow $pillow_version, xarray, pandas, matplotlib, tensorboard"
  [[ -z ${CORNET_PYTHON:-} ]] || return 0
  ! holds_packages "$python_folder" "$python_wanted" || return 0
  if [[ -e $python_failed && $(<"$python_failed") == "$python_wanted" ]]; then
    echo "Tests that compare with PyTorch and Pillow will be skipped: they could not be had before. Without $python_failed they are tried again."
    return
  fi
  echo "Installing $python_wanted for the tests, in $python_folder (about 300 MB), while the set-up goes on ..."
  get_pip || true # in the foreground: it may ask for a password
  set -m # a process group of its own, to end with what it has started
  python_with_packages "$python_folder" >>"$log" 2>&1 </dev/null 9>&- &
  python_process=$!
  set +m
  trap 'kill -- "-$python_process" 2>/dev/null || true' EXIT
}

end_python_for_tests() {
  [[ -n ${python_process:-} ]] || return 0
  if wait "$python_process" && echo "$python_wanted" >"$python_folder/holds"; then
    rm -f "$python_failed"
    echo "The Python of the tests is there, done in $(since "$python_start")."
  else
    echo "$python_wanted cannot be had (see $log): tests that compare with them will be skipped."
    rm -rf "$python_folder"
    echo "$python_wanted" >"$python_failed"
  fi
  trap - EXIT
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
    "$1/bin/python" -E -c 'import matplotlib, numpy, pandas, PIL.Image, safetensors.torch, torch, xarray' || return
  clean_pip install "${options[@]}" tensorboard "Pillow==$pillow_version" ||
    echo 'TensorBoard cannot be had: tests that read with it will be skipped.' # which no other test is to suffer for
  rm -r "$1/tmp"
}
