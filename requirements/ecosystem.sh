#!/bin/sh
# Makes .venv-ecosystem: all of .venv, with otter-grader and nbgrader on top. So the lock of .venv
# does not contain them.
set -eu
rm -rf .venv-ecosystem
.venv/bin/python -m venv .venv-ecosystem
site() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'; }
echo "import site; site.addsitedir('$(site .venv)')" > "$(site .venv-ecosystem)/below.pth"
.venv-ecosystem/bin/python -m pip install --quiet --disable-pip-version-check \
    -r requirements/ecosystem.txt
touch .venv-ecosystem/ready
echo "ecosystem: .venv-ecosystem is ready"
