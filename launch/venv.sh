#!/usr/bin/env bash
# Makes .venv at the repository root and installs requirement files into it.
#
#   launch/venv.sh REQUIREMENTS...
#
# Needs Python 3.11 or newer, or uv. Does nothing if nothing has changed.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
installed=$venv/tav_jax.installed    # What a finished installation was made of.
installing=$venv/tav_jax.installing  # Is left behind by an interrupted one.

say() {
  echo "venv.sh: $*" >&2
}

usage() {
  [ $# = 0 ] || say "error: $*"
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

have_uv() {
  command -v uv >/dev/null
}

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

version_of() {
  "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null
}

# Runs each to see: a version manager's shim can be on PATH and not work.
find_python() {
  local python
  for python in python3.13 python3.12 python3.11 python3; do
    if is_new_enough "$python"; then
      echo "$python"
      return
    fi
  done
  return 1
}

is_usable() {
  [ ! -e "$installing" ] && is_new_enough "$venv/bin/python" &&
    { have_uv || "$venv/bin/python" -m pip --version >/dev/null 2>&1; }
}

make_venv() {
  local python
  if ! python=$(find_python); then
    if ! have_uv; then
      say "error: Python 3.11 or newer is needed and python3 is" \
        "$(version_of python3 || echo missing);" \
        "install one, or uv (python3 -m pip install --user uv)"
      exit 1
    fi
    python=3.11  # uv downloads it.
  fi
  rm -rf "$venv"
  if have_uv; then
    uv venv --quiet --python "$python" "$venv"
  else
    "$python" -m venv "$venv"
  fi
}

# The files' contents, with those that they include by "-r".
contents() {
  local file included
  for file; do
    cat "$file"
    sed -n 's/^-r *//p' "$file" | while read -r included; do
      contents "$(dirname "$file")/$included"
    done
  done
}

stamp() {
  local version sum
  version=$(version_of "$venv/bin/python")
  sum=$(contents "$@" | cksum)
  echo "python $version, requirements $sum"
}

install() {
  local file flags=()
  for file; do
    flags+=(-r "$file")
  done
  if have_uv; then
    uv pip install --quiet --python "$venv/bin/python" "${flags[@]}"
  else
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
      "${flags[@]}"
  fi
}

[ $# -gt 0 ] || usage
for file; do
  [ -f "$file" ] || usage "no file $file"
done

start=$SECONDS
did=updating
if ! is_usable; then
  did=making
  make_venv
fi
wanted=$(stamp "$@")
if [ "$(cat "$installed" 2>/dev/null)" = "$wanted" ]; then
  say ".venv is up to date"
  exit
fi

say "$did .venv with Python $(version_of "$venv/bin/python"):" \
  "installing $(for file; do basename "$file"; done | paste -sd ' ' -)"
rm -f "$installed"
echo "$wanted" >"$installing"
if ! install "$@"; then
  # It was not interrupted: the next run can build on what it has installed.
  rm -f "$installing"
  say "error: the installation failed"
  exit 1
fi
mv "$installing" "$installed"
say "installed in $((SECONDS - start)) s"
