#!/usr/bin/env bash
# Runs ruff, mypy and the whole test suite in an environment of their own making.
# Tests that need the last Flax models of transformers and diffusers, and those
# that are tried with two versions, then run with .venv/oracles before .venv.
# Usage: launch/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."

launch/venv.sh requirements.txt requirements-test.txt
.venv/bin/ruff check .
.venv/bin/python -m mypy

oracles=.venv/oracles
if ! cmp -s requirements-oracles.txt $oracles/requirements.txt; then
  rm -rf $oracles
  install=(--quiet --no-deps --target $oracles -r requirements-oracles.txt)
  if command -v uv >/dev/null; then
    uv pip install --python .venv/bin/python "${install[@]}"
  else
    .venv/bin/python -m pip install --disable-pip-version-check "${install[@]}"
  fi
  cp requirements-oracles.txt $oracles/requirements.txt
fi

# Two workers: most of the time goes into compiling, one core a program. A dozen
# processes import the package: written bytecode spares each of them seconds.
test=(.venv/bin/python -m pytest)
export JAX_PLATFORMS=cpu PYTHONDONTWRITEBYTECODE=
newest=0 old=0
echo "test.sh: with the newest transformers and huggingface_hub"
"${test[@]}" -n 2 "$@" || newest=$?
[ $newest = 0 ] || [ $newest = 5 ] || exit $newest  # 5: none was selected.
echo "test.sh: with the old ones, for the oracles"  # So few: one process.
TAV_JAX_OLD=1 PYTHONPATH=$PWD/$oracles "${test[@]}" -n 0 "$@" || old=$?
[ $old = 0 ] || [ $((newest + old)) = 5 ] || exit $old
