#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs one test in the build directory, and installs the packages there on the first run.
# If that is not possible, prints the reason and skips the test; with CI=true that is a failure.
set -u

# As in tests/bindings/run.sh.
[ -z "${MESON_TEST_ITERATION-}" ] || trap '' HUP INT QUIT

cannot ()
{
  echo "cannot run $script: $1" >&2
  [ "${CI-}" = true ] && exit 1
  exit 77
}

install_packages ()
{
  cmp -s package.json node_modules/installed.json && return
  npm install --no-audit --no-fund --no-package-lock --ignore-scripts --fetch-retries=1 --prefix . >&2 &&
    cp package.json node_modules/installed.json
}

run_node ()
{
  command -v node > /dev/null || cannot "node is missing"
  command -v npm > /dev/null || cannot "npm is missing"
  exec 9> npm.lock
  flock 9
  install_packages 9>&- || cannot "npm cannot install what package.json names, see above"
  exec 9>&-
  exec node --test-reporter=tap "$script"
}

run_python ()
{
  # The first python3 on PATH is not necessarily that of the distribution, which finds its packages.
  for python in python3 /usr/bin/python3; do
    "$python" -c 'import websockets' 2> /dev/null && exec "$python" "$script"
  done
  cannot "no python3 with websockets (Debian: python3-websockets)"
}

script=$1
case $script in
  *.mjs) run_node ;;
  *.py) run_python ;;
esac
