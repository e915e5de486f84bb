# PYTHON=... picks the interpreter; JOBS=... how many assignments are proven at a time.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/python
VERIFY := $(RUN) -m autograder verify --jobs $(or $(JOBS),0)
# A file of tests stays in one process: its fixtures are shared.
PARALLEL := -n $(or $(WORKERS),auto) --dist loadfile

.PHONY: setup lock demo test test-unit attacks thorough check starter verify verify-all bars bench \
	ecosystem parity image site site-test
setup: .venv/ready
.venv/ready: requirements/lock.txt requirements/setup.sh pyproject.toml
	sh requirements/setup.sh "$(PYTHON)"

# Moves some packages of the lock: make lock PACKAGES='tqdm rich==14.0.0'
lock:
	sh requirements/lock.sh "$(PYTHON)" $(PACKAGES)

demo: setup
	$(RUN) -m autograder grade gae examples/submissions/gae --out marks --fresh

test: setup
	$(RUN) -m pytest -q -m "not slow" $(PARALLEL)

# What starts no process: an answer within a minute (tests/conftest.py says which tests these are).
test-unit: setup
	$(RUN) -m pytest -q -m "unit and not slow" $(PARALLEL)

attacks: setup
	$(RUN) tests/attacks/run.py
	$(RUN) -m pytest -q -m "slow and not corpus" tests/test_attacks.py tests/test_faults.py \
		tests/test_feedback.py

# Every bug named by a real diagnosis, every style and every proof on further draws, all mutants, all
# bars.
thorough: setup
	$(VERIFY) --all --compare --mutants --thorough --draws 20
	$(RUN) -m pytest -q grading/*/bars.py
	$(RUN) -m pytest -q -m slow tests/test_reported.py

check: setup
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy
	.venv/bin/mdformat --check README.md CHANGELOG.md docs requirements examples assignments
	$(RUN) -m autograder starter --check && $(RUN) -m autograder syllabus --check
	$(RUN) -m autograder verify

starter: setup
	$(RUN) -m autograder starter

# What is stale: seconds when nothing is.
verify: setup
	$(VERIFY) --stale

# All, for instance after a change of the engine. SHARD=3/8 for the third of eight shares.
verify-all: setup
	$(VERIFY) --all $(if $(SHARD),--shard $(SHARD))

# Measures the learning checks of all assignments again (half an hour).
bars: setup
	$(VERIFY) --all --bars

bench: setup
	$(RUN) tests/benchmarks/marking.py
	$(RUN) tests/benchmarks/one_shot.py
	$(RUN) tests/benchmarks/cartpole.py
	$(RUN) tests/benchmarks/continuous_control.py
	$(RUN) tests/benchmarks/others.py \
		--others $(or $(wildcard .venv-ecosystem/bin/python),.venv/bin/python)
	$(RUN) tests/benchmarks/wrong.py
	$(RUN) tests/benchmarks/training.py
	$(RUN) tests/benchmarks/big_class.py

# otter-grader and nbgrader in a separate environment, on top of .venv.
ecosystem: .venv-ecosystem/ready
.venv-ecosystem/ready: .venv/ready requirements/ecosystem.txt requirements/ecosystem.sh
	sh requirements/ecosystem.sh

# Equal scores over the five routes, for every assignment. PARITY=gae,ppo for some; with the
# image's route: .ci/image make parity PARITY=gae
parity: ecosystem
	PARITY=$(or $(PARITY),all) OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	.venv-ecosystem/bin/python -m pytest -q tests/ecosystem/test_parity.py

# TARGETS="cpu gpu" for both.
image: setup
	.ci/image

# The course as static pages in build/site, for any web server and for opening from a file.
site: .venv-site/ready
	sh site/build.sh
.venv-site/ready: .venv/ready requirements/site.txt requirements/site.sh site/package-lock.json
	sh requirements/site.sh

# Every page and explorer in the system's Chromium. What it has seen is in build/site-pictures.
site-test: site
	.venv-site/bin/python -m pytest -q tests/site
