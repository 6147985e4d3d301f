# SPDX-License-Identifier: LGPL-2.1-or-later
"""The window stays smooth while a gigabyte is transferred, and does no work while it is hidden."""

import threading
import time
import unittest

from case import MIB, TOKEN, Case, desktop, exchange
from desktop import GENEROUS_S, wait_until

from gi.repository import GLib


class Smoothness(Case):
    # A main loop that waits for the transfer stops for the whole transfer, which takes at least LEAST_S. A main loop
    # that handles the data, or too many signals about it, draws fewer than LEAST_FRAMES_PER_S. A main loop that only
    # runs late, because there are more programs than processors, does neither: the usual rate is 60 frames a second.
    LEAST_S = 5
    LONGEST_GAP_S = 1.5
    LEAST_FRAMES_PER_S = 10
    # The machine itself may pause once. An error of the application shows in each attempt.
    ATTEMPTS = 3

    def transfer(self, port):
        """Transfers a gigabyte or more in both directions. Returns whether the window stayed smooth meanwhile."""
        begin = time.monotonic()
        seen = threading.Event()
        self.addCleanup(seen.set)
        results = []
        transfer = threading.Thread(target=lambda: results.append(exchange(
            port, lambda sent: sent >= 1024 * MIB and time.monotonic() - begin >= self.LEAST_S and seen.is_set())))
        desktop.activate("measure")
        transfer.start()
        # The window shows the connection and the rate while the transfer runs.
        desktop.wait_for_text("^1 open$")
        desktop.wait_for_text("^[0-9.]+\N{NO-BREAK SPACE}[MG]B/s$")
        seen.set()
        wait_until(lambda: not transfer.is_alive(), "a gigabyte", 10 * GENEROUS_S)
        seconds = time.monotonic() - begin
        desktop.activate("measured")
        frames, longest, samples = desktop.state("measured")
        print(f"{results[0] / 1e9:.2f} GB each way in {seconds:.1f} s, {frames} frames, "
              f"the longest gap {longest / 1000:.0f} ms, {samples} samples")

        self.assertGreaterEqual(results[0], 1024 * MIB)
        self.assertGreater(samples, 0)
        desktop.wait_for_text("^0 open$")
        return longest < self.LONGEST_GAP_S * 1e6 and frames > self.LEAST_FRAMES_PER_S * seconds

    def test_smooth_while_a_gigabyte_passes(self):
        self.start(One="Mode=multiplexed")
        self.switch("One")
        self.answer(TOKEN)
        port = self.wait_for_port()
        desktop.activate("unfold", GLib.Variant("i", 0))
        desktop.wait_for_text("^0 open$")
        self.assertTrue(any(self.transfer(port) for attempt in range(self.ATTEMPTS)))
        self.end()

    def test_hidden(self):
        """A hidden window takes no samples."""
        self.start(One="")
        desktop.activate("measure")
        wait_until(lambda: self.samples() > 0, "a sample")
        desktop.activate("hide")
        before = self.samples()
        # This is longer than the time between two samples.
        GLib.timeout_add(1200, lambda: waited.append(True))
        waited = []
        wait_until(lambda: waited, "the time for a sample")
        self.assertEqual(self.samples(), before)
        self.end()

    def samples(self):
        desktop.activate("measured")
        return desktop.state("measured")[2]


if __name__ == "__main__":
    unittest.main(verbosity=2)
