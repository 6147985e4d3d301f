# SPDX-License-Identifier: LGPL-2.1-or-later
"""Loads libtcptunnel: `from tcptunnel import TcpTunnel`.

The library and its typelib come from the system. The import fails with an ImportError that says
what is missing.
"""

import glob
import os
import sys

__all__ = ["TcpTunnel"]

_PYGOBJECT = ("PyGObject is missing. Install it from the system, as with 'apt install python3-gi', and make the environment with "
              "'python3 -m venv --system-site-packages'; or install it with 'pip install PyGObject' ('PyGObject<3.51' "
              "if GLib is older than 2.80).")
_TYPELIB = ("TcpTunnel-1.typelib, which belongs to libtcptunnel, is missing. Install the library, as with "
            "'apt install gir1.2-tcptunnel-1', or set GI_TYPELIB_PATH to the directory that has the file.")
# Where meson installs without a prefix; the system's own directory is searched anyway.
_PLACES = ("/usr/local/lib/*/girepository-1.0", "/usr/local/lib*/girepository-1.0",
           os.path.join(sys.prefix, "lib", "girepository-1.0"), os.path.join(sys.prefix, "lib", "*", "girepository-1.0"))


def _search_also(directory):
    """Has GObject introspection look for typelibs in a directory, and for libraries above it."""
    import gi

    # The one that PyGObject itself uses: that of GLib from 3.51 on, and its predecessor before.
    modern = gi.version_info >= (3, 51)
    gi.require_version("GIRepository", "3.0" if modern else "2.0")
    from gi.repository import GIRepository

    repository = GIRepository.Repository.dup_default() if modern else GIRepository.Repository
    repository.prepend_search_path(directory)
    repository.prepend_library_path(os.path.dirname(directory))


def _load():
    try:
        from gi import require_version
    except ImportError as error:
        raise ImportError(_PYGOBJECT, name="gi") from error
    try:
        require_version("TcpTunnel", "1")
    except ValueError as error:
        found = [path for place in _PLACES for path in glob.glob(os.path.join(place, "TcpTunnel-1.typelib"))]
        if not found:
            raise ImportError(_TYPELIB, name="gi.repository.TcpTunnel") from error
        _search_also(os.path.dirname(found[0]))
        require_version("TcpTunnel", "1")
    from gi.repository import TcpTunnel
    return TcpTunnel


TcpTunnel = _load()
