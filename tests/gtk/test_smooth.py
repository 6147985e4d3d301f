# SPDX-License-Identifier: LGPL-2.1-or-later
"""The window stays smooth while a gigabyte passes, and does nothing while nobody sees it."""

import threading
import time
import unittest

from case import MIB, TOKEN, Case, desktop, exchange
from desktop import GENEROUS_S, wait_until

from gi.repository import GLib


class Smoothness(Case):
    # A main loop that waits for the transfer stands still for as long as it lasts, which is at least the first of these,
    # and one that has a part in it or is swamped by what is told of it falls below the last. One that only gets its turn
    # late, because there are more programs than processors, does neither: there would be 60 frames in a second.
    LEAST_S = 5
    LONGEST_GAP_S = 1.5
    LEAST_FRAMES_PER_S = 10
    # The machine may stand still, once. What is wrong with the application is so each time.
    ATTEMPTS = 3

    def transfer(self, port):
        """A gigabyte both ways, or more. Returns whether the window stayed smooth meanwhile."""
        begin = time.monotonic()
        seen = threading.Event()
        self.addCleanup(seen.set)
        results = []
        transfer = threading.Thread(target=lambda: results.append(exchange(
            port, lambda sent: sent >= 1024 * MIB and time.monotonic() - begin >= self.LEAST_S and seen.is_set())))
        desktop.activate("measure")
        transfer.start()
        # It is all told while it happens.
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
        """Nobody counts what nobody sees."""
        self.start(One="")
        desktop.activate("measure")
        wait_until(lambda: self.samples() > 0, "a sample")
        desktop.activate("hide")
        before = self.samples()
        # Longer than two samples are apart.
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
