# SPDX-License-Identifier: LGPL-2.1-or-later
"""Skips the tests of the application if something that they need is missing; with CI=true that is a failure."""

import os
import shutil
import sys

import gi


def need(commands=(), files=(), **namespaces):
    missing = [command for command in commands if not shutil.which(command)]
    missing += [file for file in files if not os.path.exists(file)]
    for namespace, version in namespaces.items():
        try:
            gi.require_version(namespace, version)
        except ValueError:
            missing.append(f"the typelib {namespace}-{version}")
    try:
        import cairo
        gi.require_foreign("cairo")
    except ImportError:
        missing.append("cairo for PyGObject")
    if missing:
        print("missing:", ", ".join(missing), file=sys.stderr)
        sys.exit(1 if os.environ.get("CI") == "true" else 77)
