#!/bin/sh
# Builds build/site from this repository: pages, formulas, and explorers with checked numbers.
set -eu
cd "$(dirname "$0")/.."
export PYTHONPATH=site:. OMP_NUM_THREADS=1
python=.venv-site/bin/python
rm -rf build/site
"$python" site/explorers/golden.py . build/site-golden
GOLDEN=build/site-golden node --test --test-reporter=dot site/explorers/golden.test.mjs
node site/bundle.mjs build/site/_static
"$python" site/fetch_python.py build/site-python
"$python" -m course_pages.stage build/site-source
"$python" -m sphinx -q -W --keep-going -E -d build/site-doctrees -c site build/site-source build/site
echo "site: open build/site/index.html"
