#!/bin/sh
# Makes .venv with the locked requirements. Usage: sh requirements/setup.sh PYTHON
set -eu
python=${1:-python3.11}
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || {
    echo "setup: Python 3.11, 3.12 or 3.13 is needed; call: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
# Debian ships Python without ensurepip: python3.11-venv brings it.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package" >/dev/null
    else
        echo "setup: $python cannot make virtual environments; install its package first: sudo apt-get install $package" >&2; exit 2
    fi
fi
rm -f .venv/ready
"$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/lock.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
touch .venv/ready
echo "setup: .venv is ready"
