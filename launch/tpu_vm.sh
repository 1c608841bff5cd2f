#!/usr/bin/env bash
# Runs tav_jax on a Cloud TPU VM, through gcloud.
#
#   launch/tpu_vm.sh create NAME
#   launch/tpu_vm.sh setup NAME                    again after every edit
#   launch/tpu_vm.sh mount NAME BUCKET             as bucket/ of every checkout
#   launch/tpu_vm.sh run NAME ENTRY [FLAGS...]     on every worker
#   launch/tpu_vm.sh fetch NAME REMOTE_DIR LOCAL_DIR
#   launch/tpu_vm.sh delete NAME
#
# ENTRY is tune, tune_many, sample, evaluate, pretrain or plan. Paths in FLAGS
# and REMOTE_DIR are relative to the checkout on the VM; REMOTE_DIR is copied
# into LOCAL_DIR, from worker 0. A slice of several workers (v5litepod-16, ...)
# needs `run` with --multi_host and --workdir=bucket/... Environment:
#
#   TPU_TYPE   v5litepod-1 (default), v5litepod-16, v6e-4, v5p-8, v4-8, ...
#   VERSION    runtime version (default: the one for TPU_TYPE)
#   ZONE, PROJECT   (default: those of gcloud config)
#   SPOT=1     create a spot VM
#   DRY_RUN=1  print the commands, run nothing

# With several workers gcloud needs the key in the agent, once:
#   ssh-add ~/.ssh/google_compute_engine
# An interrupted `run` ends the connection; the program may stay on the VM.
# A bucket should have a hierarchical namespace: a checkpoint is complete once
# its folder is renamed.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  [ $# = 0 ] || echo "tpu_vm.sh: error: $*" >&2
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

is_dry_run() {
  [ "${DRY_RUN:-}" = 1 ]
}

# Puts a word into single quotes where needed, which read better than %q.
quote() {
  case $1 in
    '' | *[!A-Za-z0-9_./:=@%+,-]*)
      echo "'$(printf '%s' "$1" | sed "s/'/'\\\\''/g")'" ;;
    *) printf '%s\n' "$1" ;;
  esac
}

do_or_print() {
  if ! is_dry_run; then
    "$@"
    return
  fi
  local word line=
  for word; do
    line+=" $(quote "$word")"
  done
  printf '%s\n' "${line# }"
}

tpu_vm() {
  do_or_print gcloud compute tpus tpu-vm "$@" \
    ${ZONE:+"--zone=$ZONE"} ${PROJECT:+"--project=$PROJECT"}
}

create() {
  local type=${TPU_TYPE:-v5litepod-1} version=${VERSION:-} spot=
  if [ -z "$version" ]; then
    case $type in
      v5litepod-*) version=v2-alpha-tpuv5-lite ;;
      v6e-*) version=v2-alpha-tpuv6e ;;
      v5p-*) version=v2-alpha-tpuv5 ;;
      v2-* | v3-* | v4-*) version=tpu-ubuntu2204-base ;;
      *) usage "TPU_TYPE=$type has no default VERSION here; set it" ;;
    esac
  fi
  [ "${SPOT:-}" != 1 ] || spot=--spot
  tpu_vm create "$1" --accelerator-type="$type" --version="$version" \
    ${spot:+"$spot"}
}

# Runs on each worker, in the home directory.
setup_command() {
  cat <<'END'
set -e
mkdir -p tav_jax
# Removes the files sent last time, some of which may have been deleted since.
if [ -f tav_jax.tar.gz ]; then
  tar -tzf tav_jax.tar.gz | grep -v '/$' | (cd tav_jax && xargs -d '\n' rm -f)
fi
tar -xzf tav_jax-new.tar.gz -C tav_jax
mv tav_jax-new.tar.gz tav_jax.tar.gz
export PATH="$HOME/.local/bin:$PATH"
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  # The image's Python is too old; venv.sh gets another one through uv.
  command -v uv >/dev/null || python3 -m pip install --quiet --user uv
fi
cd tav_jax
launch/venv.sh requirements-tpu.txt
END
}

setup() {
  local snapshot='' tar
  if ! is_dry_run; then
    # Tracked files as they are now; empty if all is committed.
    snapshot=$(git -C "$root" stash create)
    echo "tpu_vm.sh: sending $(git -C "$root" rev-parse --short HEAD)" \
      "${snapshot:+with uncommitted changes }to every worker of $1" >&2
  fi
  temp=$(mktemp -d)
  trap 'rm -rf "$temp"' EXIT
  tar=$temp/tav_jax-new.tar.gz
  do_or_print git -C "$root" archive --format=tar.gz --output="$tar" \
    "${snapshot:-HEAD}"
  tpu_vm scp "$tar" "$1:" --worker=all
  tpu_vm ssh "$1" --worker=all --command="$(setup_command)"
}

# Runs on each worker, in the home directory, after bucket=BUCKET.
mount_command() {
  cat <<'END'
set -e
if ! command -v gcsfuse >/dev/null; then
  key=/usr/share/keyrings/cloud.google.asc
  site=https://packages.cloud.google.com/apt
  curl -fsS $site/doc/apt-key.gpg | sudo tee $key >/dev/null
  echo "deb [signed-by=$key] $site gcsfuse-$(lsb_release -cs) main" |
    sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null
  # A new VM may still be updating itself.
  wait=DPkg::Lock::Timeout=300
  sudo apt-get -o $wait -qq update
  sudo apt-get -o $wait -qq install gcsfuse
fi
mkdir -p tav_jax/bucket
if ! mountpoint -q tav_jax/bucket; then
  # What one worker writes the others see at once.
  gcsfuse --implicit-dirs --metadata-cache-ttl-secs=0 \
    --metadata-cache-negative-ttl-secs=0 "$bucket" tav_jax/bucket
fi
# One worker writes compiled programs, all of them read.
mkdir -p tav_jax/bucket/xla .cache/tav_jax
rm -rf .cache/tav_jax/xla
ln -s "$PWD/tav_jax/bucket/xla" .cache/tav_jax/xla
END
}

mount() {
  tpu_vm ssh "$1" --worker=all \
    --command="bucket=$(printf %q "${2#gs://}")"$'\n'"$(mount_command)"
}

run() {
  local name=$1 command="cd tav_jax && exec .venv/bin/python -m tav_jax.$2"
  shift 2
  # Quoted for the remote shell, which reads the command once more.
  [ $# = 0 ] || command+=$(printf ' %q' "$@")
  tpu_vm ssh "$name" --worker=all --command="$command"
}

fetch() {
  local remote=$2
  case $remote in
    /*) ;;
    *) remote=tav_jax/$remote ;;
  esac
  do_or_print mkdir -p "$3"
  tpu_vm scp "$1:$remote" "$3" --recurse --worker=0
}

delete() {
  tpu_vm delete "$1"
}

[ $# -ge 2 ] || usage
case $2 in
  '' | -*) usage "'$2' is not a name" ;;
esac
case $1/$# in
  create/2 | setup/2 | mount/3 | delete/2 | fetch/4) ;;
  run/[3-9] | run/[1-9][0-9]*)
    case $3 in
      tune | tune_many | sample | evaluate | pretrain | plan) ;;
      *) usage "'$3' is not an ENTRY" ;;
    esac ;;
  *) usage ;;
esac
"$@"
