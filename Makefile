# setup · demo · test · attacks · thorough · check · starter · verify · bench · ecosystem · parity · image: each a line or two. PYTHON=... picks the interpreter.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/python

.PHONY: setup demo test attacks thorough check starter verify bench ecosystem parity image
setup: .venv/ready
.venv/ready: requirements/lock.txt requirements/setup.sh pyproject.toml
	sh requirements/setup.sh "$(PYTHON)"

demo: setup
	$(RUN) -m autograder grade gae examples/submissions/gae --out marks --fresh

test: setup
	$(RUN) -m pytest -q -m "not slow"

attacks: setup
	$(RUN) tests/attacks/run.py
	$(RUN) -m pytest -q -m "slow and not corpus" tests/test_attacks.py tests/test_faults.py tests/test_feedback.py

# Every known bug named by a real diagnosis, every other style, training on many seeds, the proofs on further draws of the test data.
thorough: setup
	$(RUN) -m autograder verify --draws 20
	$(RUN) -m pytest -q -m "slow and not corpus" tests/test_assignments.py grading/*/bars.py

check: setup
	.venv/bin/ruff check . && .venv/bin/mypy && $(RUN) -m autograder starter --check

starter: setup
	$(RUN) -m autograder starter

verify: setup
	$(RUN) -m autograder verify --jobs $(or $(JOBS),0)

bench: setup
	$(RUN) tests/benchmarks/marking.py
	$(RUN) tests/benchmarks/cartpole.py
	$(RUN) tests/benchmarks/others.py --others $(or $(wildcard .venv-ecosystem/bin/python),.venv/bin/python)
	$(RUN) tests/benchmarks/training.py
	$(RUN) tests/benchmarks/big_class.py

# otter-grader and nbgrader in an environment of their own, on top of .venv.
ecosystem: .venv-ecosystem/ready
.venv-ecosystem/ready: .venv/ready requirements/ecosystem.txt requirements/ecosystem.sh
	sh requirements/ecosystem.sh

# Equal scores over the five routes, for every assignment (.ci/nightly). PARITY=gae,ppo for some; with the image's route: .ci/image make parity PARITY=gae
parity: ecosystem
	PARITY=$(or $(PARITY),all) OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	.venv-ecosystem/bin/python -m pytest -q tests/ecosystem/test_parity.py

image: setup
	.ci/image
