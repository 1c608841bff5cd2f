#!/usr/bin/env bash
# Runs tav_jax on this machine: its NVIDIA GPU if there is one, else its CPU.
#
#   launch/local.sh ENTRY [FLAGS...]
#
# ENTRY is tune, tune_many, sample, evaluate, pretrain or plan. Paths in FLAGS
# are relative to the repository root. The first run makes .venv there.

set -euo pipefail

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

case ${1-} in
  tune | tune_many | sample | evaluate | pretrain | plan) ;;
  *) usage ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Runs nvidia-smi, which may be installed on a machine without a GPU.
if nvidia-smi >/dev/null 2>&1; then
  jax=$(sed -n 's/^jax\(\[[^]]*\]\)\{0,1\}==\([^ ;#]*\).*/\2/p' \
    requirements.txt)
  if [ -z "$jax" ]; then
    echo "local.sh: error: requirements.txt has no line jax==VERSION" >&2
    exit 1
  fi
  gpu=$(mktemp -d)
  trap 'rm -rf "$gpu"' EXIT
  echo "jax[cuda12]==$jax" >"$gpu/cuda12.txt"
  launch/venv.sh requirements.txt "$gpu/cuda12.txt"
  rm -rf "$gpu"  # Here too: exec does not run the trap.
else
  launch/venv.sh requirements.txt
fi

entry=$1
shift
exec .venv/bin/python -m "tav_jax.$entry" "$@"
