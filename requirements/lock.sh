#!/bin/sh
# Moves packages of lock.txt to their newest or a given version, in a fresh environment.
# Usage: sh requirements/lock.sh PYTHON PACKAGE...   (a package as tqdm or tqdm==4.67.1)
set -eu
python=$1
shift
[ $# -gt 0 ] || {
    echo "lock: say which packages to move: make lock PACKAGES='tqdm rich==14.0.0'" >&2
    exit 2
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "lock: installing requirements/lock.txt in a fresh environment, some minutes"
"$python" -m venv "$folder/venv"
pip() { "$folder/venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
pip install -r requirements/lock.txt
pip install --upgrade "$@"
pip check
pip freeze > "$folder/lock.txt"
diff requirements/lock.txt "$folder/lock.txt" && echo "lock: nothing has moved"
cp "$folder/lock.txt" requirements/lock.txt
