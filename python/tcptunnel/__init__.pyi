# SPDX-License-Identifier: LGPL-2.1-or-later
from . import TcpTunnel as TcpTunnel

__all__ = ["TcpTunnel"]
