#!/bin/sh
# Makes .venv with the locked requirements. Usage: sh requirements/setup.sh PYTHON
set -eu
python=${1:-python3.11}
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || {
    echo "setup: Python 3.11, 3.12 or 3.13 is needed: make setup PYTHON=/path/to/python3.11" >&2
    exit 2
}
# Debian ships Python without ensurepip: python3.11-venv brings it.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$package" >/dev/null
    else
        echo "setup: $python cannot make virtual environments, so install its package first:" >&2
        echo "    sudo apt-get install $package" >&2
        exit 2
    fi
fi
count=$(grep -c == requirements/lock.txt)
echo "setup: installing $count locked packages, some minutes"
echo "setup: torch is 200 MB in CPU builds, several GB in PyPI's builds with CUDA"
rm -f .venv/ready
# An environment of another Python would stay one of that Python.
version() { "$1" -c 'import sys; print(sys.version_info[:2])' 2>/dev/null; }
[ "$(version .venv/bin/python)" = "$(version "$python")" ] || clear=--clear
"$python" -m venv ${clear:-} .venv
pip() { PYTHONUNBUFFERED=1 .venv/bin/python -m pip --disable-pip-version-check "$@"; }
# Counts packages on a terminal. The last line says whether pip has failed: the status of a pipe is
# that of its last command.
progress() {
    fetched=0
    while read -r word _; do
        case $word in
            Collecting | Processing | Requirement) fetched=$((fetched + 1)) ;;
            FAILED) exit 1 ;;
        esac
        [ ! -t 1 ] || printf '\rsetup: %d of %d packages ' "$fetched" "$count"
    done
    [ ! -t 1 ] || echo
}
{ pip install -r requirements/lock.txt || echo FAILED; } | progress
pip --quiet install --no-deps --no-build-isolation -e .
touch .venv/ready
echo "setup: .venv is ready"
