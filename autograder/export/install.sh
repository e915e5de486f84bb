#!/bin/sh
# Last step of the image and of Gradescope's setup.sh: puts run_autograder in its place and closes what only root may read.
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
root=$(dirname "$source")
mkdir -p "$root/submission" "$root/results"
[ -e "$root/run_autograder" ] || cp "$source/autograder/export/run_autograder" "$root/run_autograder"
chmod 755 "$root/run_autograder"
chmod 700 "$source/grading" "$source/solutions"
