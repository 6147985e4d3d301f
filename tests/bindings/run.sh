#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs one test. Where its interpreter is missing, says so and skips; with CI=true
# that is a failure.
set -u

cannot ()
{
  echo "cannot run $script: $1" >&2
  [ "${CI-}" = true ] && exit 1
  exit 77
}

run_python ()
{
  # The first python3 on PATH need not be the distribution's, which has its packages.
  for python in python3 /usr/bin/python3; do
    "$python" -c 'import gi' 2> /dev/null && exec "$python" "$@"
  done
  cannot "no python3 with gi (Debian: python3-gi)"
}

script=$1
case $script in
  *.py) run_python "$@" ;;
  *.js)
    command -v gjs > /dev/null || cannot "gjs is missing"
    exec gjs -m "$@" ;;
  *)
    [ -x "$script" ] || cannot "it was not built, for want of a compiler (Debian: valac)"
    exec "$@" ;;
esac
