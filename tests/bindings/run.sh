#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs one test: run.sh SCRIPT, or run.sh venv SCRIPT for a test that needs the packages in
# requirements.txt, which are installed in $TCP_TUNNEL_VENV on the first run. If the interpreter or
# something else is missing, prints that and skips the test; with CI=true that is a failure.
set -u

# Tests have to pass in the background and with nohup too, so that all of them run with these
# signals ignored. The programs that they start, some of them with this script, do not.
if [ -n "${MESON_TEST_ITERATION-}" ]; then
  trap '' HUP INT QUIT
  unset MESON_TEST_ITERATION
fi

cannot ()
{
  echo "cannot run $script: $1" >&2
  [ "${CI-}" = true ] && exit 1
  exit 77
}

# The first python3 on PATH is not necessarily that of the distribution, which finds its packages.
find_python ()
{
  for python in python3 /usr/bin/python3; do
    "$python" -c 'import gi.repository' 2> /dev/null && return
  done
  cannot "no python3 with gi (Debian: python3-gi)"
}

install_packages ()
{
  cmp -s "$requirements" "$TCP_TUNNEL_VENV/requirements.txt" && return
  "$python" -m venv --clear "$TCP_TUNNEL_VENV" &&
    env PYTHONPATH= "$TCP_TUNNEL_VENV/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" &&
    cp "$requirements" "$TCP_TUNNEL_VENV/"
}

run_in_venv ()
{
  requirements=$(dirname "$0")/requirements.txt
  find_python
  exec 9> "$TCP_TUNNEL_VENV.lock"
  flock 9
  install_packages >&2 9>&- ||
    cannot "pip cannot install what requirements.txt names, see above (Debian: python3-venv python3-dev libcairo2-dev)"
  exec 9>&-
  exec "$TCP_TUNNEL_VENV/bin/python" "$@"
}

script=$1
case $script in
  venv)
    shift
    script=$1
    run_in_venv "$@" ;;
  *.py)
    find_python
    exec "$python" "$@" ;;
  *.js)
    command -v gjs > /dev/null || cannot "gjs is missing"
    exec gjs -m "$@" ;;
  *)
    [ -x "$script" ] || cannot "it was not built, for want of a compiler (Debian: valac)"
    exec "$@" ;;
esac
