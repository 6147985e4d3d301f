# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a test as nohup and the & of a shell do, with signals ignored: it has to pass so too."""

import os
import signal
import sys

for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
