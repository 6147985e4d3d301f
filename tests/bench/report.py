# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turns what was measured into one table and compares it with what is expected."""

from statistics import median

GIB = 1 << 30
MIB = 1 << 20
STALL_LIMIT = 8 * MIB
BESIDE_BULK_LIMIT_MS = 10

COLUMNS = (
    # heading, unit, width
    ("", "", 19), ("up", "MB/s", 5), ("down", "MB/s", 5), ("up+down", "MB/s", 10),
    ("CPU", "up", 6), ("s/GiB", "down", 6), ("64 bytes", "µs", 10),
    ("beside up", "ms", 10), ("down", "ms", 10), ("beside idle", "µs", 12), ("up", "MB/s", 5), ("down", "MB/s", 5),
    ("conn.", "/s", 6), ("peak", "MiB", 6), ("stall", "MiB", 7),
)

RATES = (("up", "up"), ("down", "down"), ("both", "up"), ("both", "down"))  # cell and direction


class Figures:
    """The medians of one subject; None is what was not measured."""

    def __init__(self, subject):
        self.title = subject["title"]
        self.labels = subject.get("processes", [])
        self.peak = subject.get("peak", [])
        self.cells = subject["cells"]
        self.stall = (self.cells.get("stall") or [None])[0]

    def _median(self, cell, value):
        runs = self.cells.get(cell)
        return median(value(run) for run in runs) if runs else None

    def rate(self, cell, way):
        """Bytes a second."""
        return self._median(cell, lambda run: run[f"{way}_bytes"] / run["seconds"])

    def idle_rate(self, way):
        """The same with idle connections beside."""
        return self._median(f"idle-{way}", lambda run: run[f"{way}_bytes"] / run["seconds"])

    def cpu(self, cell, process=0):
        """CPU seconds a GiB."""
        return self._median(cell, lambda run: run["cpu"][process] / max(_bytes(run), 1) * GIB)

    def load_cpu(self, cell):
        return self._median(cell, lambda run: run["load_cpu"] / max(_bytes(run), 1) * GIB)

    def ping(self, cell, field):
        return self._median(cell, lambda run: run[field])

    def connections(self):
        return self._median("connect", lambda run: run["connections"] / run["seconds"])

    def growth(self):
        return max(self.stall["growth"]) if self.stall else None


def _bytes(run):
    return run["up_bytes"] + run["down_bytes"]


def _number(value, scale=1.0, digits=0):
    return "–" if value is None else f"{value / scale:.{digits}f}"


def _short(milliseconds):
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.1f}s"
    return f"{milliseconds:.{2 if milliseconds < 10 else 1 if milliseconds < 100 else 0}f}"


def _ping(figures, cell, in_ms=True):
    p50, p99 = figures.ping(cell, "p50_us"), figures.ping(cell, "p99_us")
    if p50 is None:
        return "–"
    return f"{_short(p50 / 1000)}/{_short(p99 / 1000)}" if in_ms else f"{p50:.0f}/{p99:.0f}"


def _stall(figures, process):
    if not figures.stall:
        return "–"
    more = ">" if "capped_after" in figures.stall else ""
    return more + _number(figures.stall["growth"][process], MIB, 1 if not more else 0)


def _print_row(cells):
    texts = [text.ljust(width) if i == 0 else " " + text.rjust(width - 1)
             for i, (text, (_, _, width)) in enumerate(zip(cells, COLUMNS))]
    print("".join(texts).rstrip())


def _print_subject(figures):
    def cpus(process):
        return [_number(figures.cpu("up", process), 1, 3), _number(figures.cpu("down", process), 1, 3)]

    def memory(process):
        peak = figures.peak[process] if process < len(figures.peak) else None
        return [_number(peak, MIB), _stall(figures, process)]

    rates = [_number(figures.rate(*what), 1e6) for what in RATES]
    both = "+".join(rates[2:]) if rates[2] != "–" else "–"
    _print_row([figures.title, rates[0], rates[1], both] + cpus(0) +
               [_ping(figures, "ping", in_ms=False), _ping(figures, "ping-up"), _ping(figures, "ping-down"),
                _ping(figures, "idle-ping", in_ms=False), _number(figures.idle_rate("up"), 1e6),
                _number(figures.idle_rate("down"), 1e6), _number(figures.connections())] + memory(0))
    for process, label in enumerate(figures.labels[1:], 1):
        _print_row([f"  its {label}"] + [""] * 3 + cpus(process) + [""] * 7 + memory(process))
    if figures.cells.get("up") or figures.cells.get("down"):
        _print_row(["  peer"] + [""] * 3 + cpus(len(figures.labels)))
        _print_row(["  load"] + [""] * 3 + [_number(figures.load_cpu(cell), 1, 3) for cell in ("up", "down")])


def _ratio(a, b):
    return None if a is None or not b else a / b


def _both_ends(figures, way):
    cpus = [figures.cpu(way, process) for process in (0, 1)] if len(figures.labels) > 1 else []
    return sum(cpus) if cpus and None not in cpus else None


def _expectations(all_figures, stall_seconds):
    """Yields text, bound, measured value, digits and whether it is met."""
    nothing = Figures({"title": "", "cells": {}})
    keys = ("singleton", "limrun-singleton", "relay", "multiplexed")
    ours, limrun, relay, multiplexed = (all_figures.get(key, nothing) for key in keys)

    def at_least(text, bound, value):
        return text, f"≥ {bound:.2f}", value, 2, value is not None and value >= bound

    def at_most(text, bound, value, digits=2):
        return text, f"≤ {bound:.{digits}f}", value, digits, value is not None and value <= bound

    for way in ("up", "down"):
        yield at_least(f"throughput {way}, times limrun's", 3, _ratio(ours.rate(way, way), limrun.rate(way, way)))
    for way in ("up", "down"):
        yield at_most(f"CPU per GiB {way}, share of limrun's", 0.25, _ratio(ours.cpu(way), limrun.cpu(way)))
    for way, share in (("up", 1 / 3), ("down", 0.5)):
        yield at_least(f"throughput {way}, share of the bare relay's", share,
                       _ratio(ours.rate(way, way), relay.rate(way, way)))
    growth = ours.growth()
    yield at_most(f"growth with a reader stalled for {stall_seconds:.0f} s, MiB", 8,
                  None if growth is None else growth / MIB, 1)
    yield at_most("p50 for 64 bytes, share of limrun's", 1,
                  _ratio(ours.ping("ping", "p50_us"), limrun.ping("ping", "p50_us")))
    for way in ("up", "down"):
        p99 = multiplexed.ping(f"ping-{way}", "p99_us")
        yield at_most(f"p99 beside a bulk transfer {way}, multiplexed, ms", BESIDE_BULK_LIMIT_MS,
                      None if p99 is None else p99 / 1000, 1)
    for key in ("gateway-multiplexed", "resumable-multiplexed"):
        figures = all_figures.get(key, nothing)
        yield at_most(f"{key}, p50 with idle connections, times that without", 1.1,
                      _ratio(figures.ping("idle-ping", "p50_us"), figures.ping("ping", "p50_us")))
        for way in ("up", "down"):
            yield at_least(f"{key} {way}, with idle connections, share of that without", 0.9,
                           _ratio(figures.idle_rate(way), figures.rate(way, way)))
    for mode, dialect in (("singleton", "raw"), ("multiplexed", "tagged")):
        plain, resumable = (all_figures.get(f"{kind}-{mode}", nothing) for kind in ("gateway", "resumable"))
        for way in ("up", "down"):
            yield at_least(f"resumable {mode} {way}, share of the throughput of {dialect}", 0.85,
                           _ratio(resumable.rate(way, way), plain.rate(way, way)))
            yield at_most(f"resumable {mode} {way}, CPU of both ends, times {dialect}'s", 1.25,
                          _ratio(_both_ends(resumable, way), _both_ends(plain, way)))


def _print_notes(all_figures, outcome):
    for figures in all_figures.values():
        stall = figures.stall
        if stall and "capped_after" in stall:
            rate = max(stall["growth"]) / stall["capped_after"] / MIB
            print(f"{figures.title}: stopped after {stall['capped_after']:.1f} s of stalling, {rate:.0f} MiB/s")
        elif stall and stall["down_bytes"] < 32 * MIB:
            print(f"{figures.title}: hardly anything came once the stalled reader went on")
        for cell in ("up", "down"):
            if figures.labels and figures.cells.get(cell) and figures.cpu(cell, -1) > figures.cpu(cell):
                print(f"{figures.title}, {cell}: the peer took more CPU than the subject")
    relay, limrun = all_figures.get("relay"), all_figures.get("limrun-singleton")
    if relay and limrun and relay.rate("up", "up") and limrun.rate("up", "up"):
        ratios = [_ratio(relay.rate(way, way), limrun.rate(way, way)) for way in ("up", "down")]
        print(f"what this machine allows: the bare relay moves {_number(ratios[0], 1, 2)} times as much up as limrun's, "
              f"{_number(ratios[1], 1, 2)} times down")
    for title, why in outcome["skipped"]:
        print(f"skipped {title}: {why}")
    for failure in outcome["failures"]:
        print(f"FAILED {failure}")


def show(outcome):
    """Prints all; true if all that is expected was met."""
    all_figures = {key: Figures(subject) for key, subject in outcome["subjects"].items()}
    print(f"{outcome['machine']['cpus']} CPUs, Linux {outcome['machine']['kernel']}, "
          f"{outcome['seconds']:g} s a cell, medians; round trips are p50/p99; {outcome['idle']} idle connections where said")
    _print_row([heading for heading, _, _ in COLUMNS])
    _print_row([unit for _, unit, _ in COLUMNS])
    for figures in all_figures.values():
        _print_subject(figures)
    print()
    _print_notes(all_figures, outcome)

    print(f"\n{'expected (singleton and ideal peer if not said)':<72}{'bound':>9}{'measured':>10}")
    met_all = True
    for text, bound, value, digits, met in _expectations(all_figures, outcome["stall_seconds"]):
        verdict = "not measured" if value is None else "met" if met else "not met"
        print(f"{text:<72}{bound:>9}{_number(value, 1, digits):>10}  {verdict}")
        met_all = met_all and met
    return met_all
