#!/usr/bin/env bash
# Tunes the embedded model on its embedded video and renders four edits of it:
# offline but for the installation, on a laptop, in minutes.
# Usage: launch/demo.sh [--config.key=value ...]
set -euo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
launch/venv.sh requirements.txt
installed=$SECONDS
.venv/bin/python -m tav_jax.tune --config=configs/storybook.py \
  --workdir=runs/demo "$@"
echo
echo "installed in $((installed - started)) s, ran in $((SECONDS - installed)) s"
echo "look at:  runs/demo/samples/*/sheet.mp4 and sheet.png (all side by side)"
echo "then try: .venv/bin/python -m tav_jax.sample --workdir=runs/demo \\"
echo "            --config.sampling.prompts=\"('a robot is skiing in the city',)\""
