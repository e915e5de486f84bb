# The grading image. It reads one submission in /autograder/submission and writes
# /autograder/results/results.json. docs/PLATFORMS.md says more.
#   docker build --target cpu -t rl-grader:cpu .
#   docker run --rm --network=none -e ASSIGNMENT=gae \
#       -v $PWD/ada.py:/autograder/submission/gae.py:ro \
#       -v $PWD/results:/autograder/results rl-grader:cpu /autograder/run_autograder
# There is no CMD and no ENTRYPOINT, so that the image can inherit from that of Gradescope:
#   --build-arg BASE_IMAGE=gradescope/autograder-base:ubuntu-22.04
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS base
COPY requirements/image.sh /opt/requirements/
RUN sh /opt/requirements/image.sh system
# Nothing is written beside the code. What libraries must write goes to /tmp.
ENV PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp HF_HUB_OFFLINE=1 \
    OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

FROM base AS cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements/lock.txt requirements/image.txt /opt/requirements/
RUN sh /opt/requirements/image.sh packages cpu
ARG ASSIGNMENT=
ENV ASSIGNMENT=${ASSIGNMENT}
COPY . /autograder/source
RUN sh /autograder/source/autograder/export/install.sh

FROM base AS gpu
COPY requirements/lock.txt requirements/image.txt /opt/requirements/
RUN sh /opt/requirements/image.sh packages gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG ASSIGNMENT=
ENV ASSIGNMENT=${ASSIGNMENT}
COPY . /autograder/source
RUN sh /autograder/source/autograder/export/install.sh
