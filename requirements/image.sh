#!/bin/sh
# Prepares a Debian-like system for grading. The Dockerfile and the setup.sh of the Gradescope zip
# call it as root:
#   sh image.sh system             installs Python 3.11-3.13, libseccomp and the user `student`
#   sh image.sh packages cpu|gpu   installs the locked packages into /opt/grader
# $TORCH_INDEX names the package index with CPU builds of torch.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
fits() {
    command -v "$1" >/dev/null &&
        "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
}
install() { apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

system() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    python=python3
    install python3 python3-venv libseccomp2 ca-certificates
    if ! fits python3; then
        for python in python3.13 python3.12 python3.11 none; do
            install "$python" "$python-venv" 2>/dev/null && fits "$python" && break
        done
        [ "$python" != none ] || {
            echo "image.sh: there is no Python 3.11 to 3.13 here: choose a newer base image" >&2
            exit 2
        }
    fi
    "$python" -m venv /opt/grader
    rm -rf /var/lib/apt/lists/*
    id student >/dev/null 2>&1 ||
        useradd --uid 61000 --no-create-home --shell /usr/sbin/nologin student
}

packages() {
    cpu=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
    index=; [ "$1" = gpu ] || index="--extra-index-url $cpu"
    # shellcheck disable=SC2086
    /opt/grader/bin/pip install --quiet --no-cache-dir --disable-pip-version-check $index \
        -c "$here/lock.txt" -r "$here/image.txt"
}

case ${1:-} in
    system) system ;;
    packages) packages "${2:-cpu}" ;;
    *) echo "usage: image.sh system | packages cpu|gpu" >&2; exit 2 ;;
esac
