# shellcheck shell=bash disable=SC2154 # what setup.sh sets
# The tensorflow backend, as a part of deploy/setup.sh. It lies in .cache/tensorflow, apart from everything else, so that
# nothing of it can break the rest: the npm packages (deploy/setup/tensorflow/package-lock.json, without their install
# scripts, which would download a libtensorflow of 2022), libtensorflow, and the package's addon, compiled against it.

readonly tensorflow=$cache/tensorflow
readonly tfjs=$tensorflow/node_modules/@tensorflow/tfjs-node-gpu

size_of() { du -sh "$1" | cut -f 1; }

tensorflow_backend() {
  local libtensorflow=
  mkdir -p "$tensorflow/addon" "$downloads/libtensorflow"
  tfjs_packages
  case $libtensorflow_choice in
    wheel) libtensorflow_wheel ;;
    prebuilt) libtensorflow_prebuilt ;;
    *) libtensorflow=$libtensorflow_choice ;;
  esac
  step "Building the addon of TensorFlow.js for the libtensorflow in $libtensorflow" \
    deploy/setup/build-addon.sh tensorflow "$libtensorflow" "$tfjs" "$tensorflow/addon"
  tfjs_addon
  step "Loading TensorFlow.js" node -e 'console.log(require(process.argv[1]).backend().binding.TF_Version)' "$tfjs"
}

tfjs_packages() {
  local file
  for file in package.json package-lock.json; do
    cmp -s "deploy/setup/tensorflow/$file" "$tensorflow/$file" || rm -f "$tensorflow/installed"
    cp "deploy/setup/tensorflow/$file" "$tensorflow/$file"
  done
  [[ ! -e $tensorflow/installed ]] || return 0
  step "Installing TensorFlow.js from npm (about 300 MB)" \
    npm ci --prefix "$tensorflow" --ignore-scripts --no-audit --no-fund
  touch "$tensorflow/installed"
}

# What the package loads is the addon that was built last.
tfjs_addon() {
  local addon
  addon=$tensorflow/addon/$(<"$tensorflow/addon/current")/tensorflow.node
  mkdir -p "$tfjs/lib/napi-v8"
  ln -sfn "$addon" "$tfjs/lib/napi-v8/tfjs_binding.node.part"
  mv -T "$tfjs/lib/napi-v8/tfjs_binding.node.part" "$tfjs/lib/napi-v8/tfjs_binding.node"
}

# --- libtensorflow: each sets $libtensorflow --------------------------------------------------------------------------

# keep_libtensorflow NAME TITLE FETCH: FETCH fills a folder, which is kept under NAME once it is whole.
keep_libtensorflow() {
  local folder=$downloads/libtensorflow/$1
  if [[ ! -d $folder ]]; then
    rm -rf "$folder.part"
    mkdir -p "$folder.part"
    step "$2" "$3" "$folder.part"
    mv "$folder.part" "$folder"
    echo "  $(size_of "$folder") in $folder"
  fi
  libtensorflow=$folder
}

libtensorflow_wheel() {
  local package='tensorflow' kind=cuda size='600 MB, and some gigabytes of CUDA libraries'
  # The wheel without CUDA is called tensorflow-cpu on x86 and tensorflow elsewhere.
  if ! { has nvidia-smi && nvidia-smi &>/dev/null; }; then
    kind=cpu size='about 270 MB'
    [[ $(uname -m) != x86_64 ]] || package='tensorflow-cpu'
  fi
  get_pip || fail "pip, with which the wheel is downloaded, is missing."
  keep_libtensorflow "$tensorflow_version+$kind" \
    "Downloading libtensorflow, the pip wheel of $package $tensorflow_version ($size)" "unpack_tensorflow_$kind"
  libtensorflow+=/tensorflow
}

# Nothing of Python is needed later, so the wheel of any Python will do; only headers and libraries are unpacked.
download_wheel() {
  local system platforms=()
  for system in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do
    platforms+=(--platform "${system}_$(uname -m)")
  done
  clean_pip download --no-deps --no-cache-dir --only-binary :all: --retries 2 --dest "$1" \
    --python-version 3.11 "${platforms[@]}" "$2==$tensorflow_version" || return 1
  "$python" -E -c '
import glob, re, sys, zipfile
folder = sys.argv[1]
(wheel,) = glob.glob(folder + "/*.whl")
libraries = ("tensorflow/libtensorflow_cc.so.2", "tensorflow/libtensorflow_framework.so.2")
headers = tuple("tensorflow/include/" + part for part in ("tensorflow/c/", "tensorflow/core/platform/", "tsl/", "xla/tsl/"))
with zipfile.ZipFile(wheel) as archive:
    names = archive.namelist()
    archive.extractall(folder, [n for n in names if n in libraries or n.startswith(headers) or n.endswith("/LICENSE")])
    (metadata,) = [n for n in names if n.endswith(".dist-info/METADATA")]
    required = re.findall(r"^Requires-Dist: (nvidia-[^;\s]+).*and-cuda", archive.read(metadata).decode(), re.M)
with open(folder + "/cuda-packages", "w") as file:
    file.writelines(name + "\n" for name in required)
' "$1" && rm "$1"/*.whl
}

unpack_tensorflow_cpu() { download_wheel "$1" "$package"; }

# unpack_wheels FOLDER WHAT...: pip's own temporary files are as large, and /tmp may be half of the memory.
unpack_wheels() {
  local folder=$1
  shift
  mkdir -p "$folder/tmp"
  TMPDIR=$folder/tmp clean_pip install --no-cache-dir --only-binary :all: --retries 2 --target "$folder" "$@" &&
    rm -rf "$folder/tmp"
}

# libtensorflow opens the CUDA libraries by name: they are found where it lies itself.
unpack_tensorflow_cuda() {
  download_wheel "$1" tensorflow || return 1
  unpack_wheels "$1" --no-deps --requirement "$1/cuda-packages" || return 1
  ln -s "$1"/nvidia/*/lib/*.so* "$1/tensorflow/" && make_links_relative "$1/tensorflow"
}

make_links_relative() {
  local link
  for link in "$1"/*.so*; do
    [[ ! -L $link ]] || ln -sfr "$(readlink "$link")" "$link"
  done
}

# The package's own script downloads it and would then build the addon with node-gyp; only the download is wanted.
libtensorflow_prebuilt() {
  keep_libtensorflow prebuilt-2.9.1 "Downloading the libtensorflow that TensorFlow.js names (about 400 MB)" download_prebuilt
}

download_prebuilt() {
  # shellcheck disable=SC2016 # JavaScript
  (cd "$tfjs" && node -e '
const { downloadAndUnpackResource } = require("./scripts/resources.js");
const { LIBTENSORFLOW_VERSION: version } = require("./scripts/deps-constants.js");
const host = process.env.CDN_STORAGE || "https://storage.googleapis.com/";
const name = `libtensorflow-gpu-linux-x86_64-${version}.tar.gz`;
downloadAndUnpackResource(`${host}tensorflow/libtensorflow/${name}`, process.argv[1], () => {});
' "$1") && [[ -e $1/lib/libtensorflow.so.2 ]]
}
