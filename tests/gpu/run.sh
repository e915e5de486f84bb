#!/bin/sh
# Every check of the course that needs a GPU, in one go. Prints a table for docs/BENCHMARKS.md.
#   sh tests/gpu/run.sh wheels PYTHON     collect what it takes along, where there is a network
#   sh tests/gpu/run.sh PYTHON            run it, as root, on a machine with a GPU and no network
#   sh tests/gpu/run.sh rehearse PYTHON   the same steps on the CPU, with small sizes
# PYTHON is 3.11 to 3.13 and has numpy, scipy and a CUDA build of torch 2.11 or newer. All other
# packages come from build/gpu/wheels.
set -eu
cd "$(dirname "$0")/../.."
step=run
case ${1:-} in wheels | rehearse) step=$1; shift ;; esac
python=${1:-python3}
wheels=build/gpu/wheels
environment=build/gpu/environment
mkdir -p build/gpu
# torch brings its own; numpy and scipy are what it was built with.
grep -vE '^(torch|numpy|scipy|triton|nvidia|mypy|ruff|mdformat)' requirements/lock.txt \
    > build/gpu/wanted.txt

if [ "$step" = wheels ]; then
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps \
        --dest "$wheels" -r build/gpu/wanted.txt
    du -sh "$wheels"
    exit 0
fi
# On top of PYTHON's packages, which a .pth file names: PYTHON may be an environment itself.
rm -rf "$environment"
"$python" -m venv "$environment"
own=$("$environment/bin/python" -c 'import site; print(site.getsitepackages()[0])')
"$python" -c 'import site; print("\n".join(site.getsitepackages()))' > "$own/lower.pth"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-index --no-deps --find-links "$wheels" -r build/gpu/wanted.txt
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 HF_HUB_OFFLINE=1
[ "$step" = run ] && device=cuda || device=cpu
exec "$environment/bin/python" tests/gpu/checks.py "$device"
