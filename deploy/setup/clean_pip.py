"""Runs pip with the user's settings of where packages come from, and with no other.

    python3 -E deploy/setup/clean_pip.py ARGUMENT...

What else the environment and pip.conf may say (require-virtualenv, target, platform, no-binary, constraint, ...) makes
pip refuse, or fetch something else, or put it elsewhere; and another libtorch computes other bits.
"""
import ast
import os
import re
import subprocess
import sys

PIP = [sys.executable, "-E", "-m", "pip"]

# Mirrors, and how they are reached; a pattern for those that can mean something else, too.
KEPT = {
    **dict.fromkeys(["index-url", "pypi-url", "extra-index-url", "no-index", "find-links", "trusted-host"]),
    **dict.fromkeys(["cert", "client-cert", "proxy", "timeout", "default-timeout", "keyring-provider", "cache-dir"]),
    **{"use-feature": r"truststore", "use-deprecated": r"legacy-certs"},
}


def kept(name, value):
    return name in KEPT and (KEPT[name] is None or re.fullmatch(KEPT[name], value.strip()))


def variable(name):
    return "PIP_" + name.upper().replace("-", "_")


def environment(settings, config_file):
    """This one, with these settings of pip's instead of its own; and without Python's, which -E ignores only here."""
    others = {name: value for name, value in os.environ.items() if not re.match(r"PIP_|PYTHON(?!UNBUFFERED)", name)}
    others.update({variable(name): value for name, value in settings.items()})
    if config_file is not None:
        others["PIP_CONFIG_FILE"] = config_file
    return others


def from_environment():
    named = {name[4:].lower().replace("_", "-"): value for name, value in os.environ.items() if name.startswith("PIP_")}
    return {name: value for name, value in named.items() if value and kept(name, value)}


# What the files may say that would shorten the list of what they say.
LISTING = dict.fromkeys(["quiet", "verbose", "user", "global", "site"], "0")


def from_files(command):
    """As pip reads them: what a section of the command says goes before what [global] says."""
    listing = environment(LISTING, os.environ.get("PIP_CONFIG_FILE"))
    listed = subprocess.run(PIP + ["config", "list"], env=listing, stdout=subprocess.PIPE, universal_newlines=True)
    settings = {"global": {}, command: {}}
    for section, name, value in re.findall(r"^([^.\n]+)\.([^=\n]+)=(.+)$", listed.stdout, re.M):
        if section in settings and kept(name, ast.literal_eval(value)):
            settings[section][name] = ast.literal_eval(value)
    return {**settings["global"], **settings[command]}


def main(command, *arguments):
    settings = {**from_files(command), **from_environment(), "disable-pip-version-check": "1", "no-input": "1"}
    # On os.devnull pip reads no file.
    return subprocess.call(PIP + [command, *arguments], env=environment(settings, os.devnull))


sys.exit(main(*sys.argv[1:]))
