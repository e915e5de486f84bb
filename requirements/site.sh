#!/bin/sh
# Makes .venv-site: all of .venv, with Sphinx and Playwright on top. And site/node_modules: what the
# build takes from npm.
set -eu
rm -rf .venv-site
.venv/bin/python -m venv .venv-site
packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'; }
echo "import site; site.addsitedir('$(packages .venv)')" > "$(packages .venv-site)/below.pth"
.venv-site/bin/python -m pip install --quiet --disable-pip-version-check \
    -r requirements/site.txt
npm --prefix site ci --silent --no-audit --no-fund
touch .venv-site/ready
echo "site: .venv-site is ready"
