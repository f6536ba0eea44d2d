"""Downloads a wheel of torch and those of NVIDIA that it links against, or one of Pillow, and unpacks what is used of it:
headers and libraries of torch, the libjpeg-turbo of Pillow.

    python3 -E deploy/setup/wheels.py FOLDER REQUIREMENT [PIP_OPTION]...

pip is not asked to install them: it would bring Triton, SymPy and others that no worker opens, and a machine that cannot
have one of those would have no CUDA either.
"""
import glob
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile

CLEAN_PIP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clean_pip.py")

# What a worker opens, and what the addon is compiled with.
WANTED = re.compile(r"torch/(lib|include)/|torch\.libs/|nvidia/[^/]+/lib/(?!.*\.a$)|pillow\.libs/libjpeg-")

# pip does not know by itself that a system with glibc 2.28 can use what was built for an older one.
SYSTEMS = ["manylinux_2_%d" % minor for minor in range(28, 4, -1)] + ["manylinux2014", "manylinux2010", "manylinux1"]


def download(folder, requirements, options):
    """Paths of the wheels. Nothing of Python is needed later, so that the wheel of any Python will do: first that of this
    one, which may be all that a machine without a network has; then one that torch is surely built for."""
    fixed = ["--python-version", "3.12", "--implementation", "cp", "--abi", "cp312"]
    for system in SYSTEMS:
        fixed += ["--platform", system + "_" + platform.machine()]
    for target in ([], fixed):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder + "/tmp")  # pip's temporary files are as large, and /tmp may be half of the memory
        pip = [sys.executable, "-E", CLEAN_PIP, "download", "--no-deps", "--no-cache-dir", "--only-binary", ":all:"]
        pip += ["--retries", "2", "--dest", folder] + target + options + requirements
        if subprocess.call(pip, env=dict(os.environ, TMPDIR=folder + "/tmp")) == 0:
            return sorted(glob.glob(folder + "/*.whl"))
    sys.exit("pip cannot download " + " ".join(requirements))


def required(wheel, extras=()):
    """What the wheel requires of NVIDIA on this machine. Of the markers only those of extras and machines can differ."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if re.match(r"[^/]+\.dist-info/METADATA$", name)]
        metadata = archive.read(name).decode()
    for requirement, marker in re.findall(r"^Requires-Dist: *((?:nvidia-|cuda-toolkit\b)[^;\n]*)(.*)$", metadata, re.M):
        extra = re.search(r"extra *== *['\"]([^'\"]+)", marker)
        here = "platform_machine" not in marker or platform.machine() in marker
        if here and (extra is None or extra.group(1) in extras):
            yield requirement.strip()


def unpack(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if WANTED.match(name)])
    os.remove(wheel)


def main(folder, requirement, *options):
    parts = folder + "/wheels"
    (wheel,) = download(parts, [requirement], list(options))
    needed = list(required(wheel))
    unpack(wheel, folder)
    # Since CUDA 13 most of NVIDIA's are extras of one package, which holds nothing itself.
    for toolkit in [name for name in needed if name.startswith("cuda-toolkit")]:
        needed.remove(toolkit)
        name, extras, version = re.match(r"([\w-]+)(?:\[(.*)\])?(.*)", toolkit).groups()
        (wheel,) = download(parts, [name + version], list(options))
        needed += required(wheel, re.split(r" *, *", extras or ""))
    if needed:
        for wheel in download(parts, sorted(set(needed)), list(options)):
            unpack(wheel, folder)
    shutil.rmtree(parts)


main(*sys.argv[1:])
