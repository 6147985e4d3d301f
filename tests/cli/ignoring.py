# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a test with signals ignored, as nohup and the & of a shell do: it has to pass in the same way."""

import os
import signal
import sys

for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
