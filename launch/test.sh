#!/usr/bin/env bash
# Runs ruff, mypy and the whole test suite in an environment of their own making.
# Usage: launch/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."

launch/venv.sh requirements.txt requirements-test.txt
.venv/bin/ruff check .
.venv/bin/python -m mypy
# Two workers: most of the time goes into compiling, one core a program.
JAX_PLATFORMS=cpu .venv/bin/python -m pytest -n 2 "$@"
