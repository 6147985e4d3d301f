# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes one table of the results and compares them with expectations."""

from statistics import median

GIB = 1 << 30
MIB = 1 << 20
BESIDE_BULK_LIMIT_MS = 10

COLUMNS = (
    # heading, unit, width
    ("", "", 19), ("up", "MB/s", 5), ("down", "MB/s", 5), ("up+down", "MB/s", 10), ("8 up", "MB/s", 5),
    ("down", "MB/s", 5),
    ("CPU", "up", 6), ("s/GiB", "down", 6), ("64 bytes", "µs", 10),
    ("beside up", "ms", 10), ("down", "ms", 10), ("conn.", "/s", 6), ("peak", "MiB", 6), ("stall", "MiB", 7),
)

# Cell and direction
RATES = (("up", "up"), ("down", "down"), ("both", "up"), ("both", "down"), ("up-8", "up"), ("down-8", "down"))

CROWD_COLUMNS = (
    ("", "", 19), ("idle", "", 13), ("64 bytes", "µs", 10), ("up", "MB/s", 6), ("down", "MB/s", 6),
    ("CPU", "up", 7), ("s/GiB", "down", 7), ("peak", "MiB", 6),
)


class Figures:
    """The medians of one subject; None if a value was not measured."""

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
        """Returns bytes per second."""
        return self._median(cell, lambda run: run[f"{way}_bytes"] / run["seconds"])

    def cpu(self, cell, process=0):
        """Returns CPU seconds per GiB."""
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


def _print_row(cells, columns=COLUMNS):
    texts = [text.ljust(width) if i == 0 else " " + text.rjust(width - 1)
             for i, (text, (_, _, width)) in enumerate(zip(cells, columns))]
    print("".join(texts).rstrip())


def _print_subject(figures):
    def cpus(process):
        return [_number(figures.cpu("up", process), 1, 3), _number(figures.cpu("down", process), 1, 3)]

    def memory(process):
        peak = figures.peak[process] if process < len(figures.peak) else None
        return [_number(peak, MIB), _stall(figures, process)]

    rates = [_number(figures.rate(*what), 1e6) for what in RATES]
    both = "+".join(rates[2:4]) if rates[2] != "–" else "–"
    _print_row([figures.title, rates[0], rates[1], both] + rates[4:] + cpus(0) +
               [_ping(figures, "ping", in_ms=False), _ping(figures, "ping-up"), _ping(figures, "ping-down"),
                _number(figures.connections())] + memory(0))
    for process, label in enumerate(figures.labels[1:], 1):
        _print_row([f"  its {label}"] + [""] * 5 + cpus(process) + [""] * 4 + memory(process))
    if figures.cells.get("up") or figures.cells.get("down"):
        _print_row(["  peer"] + [""] * 5 + cpus(len(figures.labels)))
        _print_row(["  load"] + [""] * 5 + [_number(figures.load_cpu(cell), 1, 3) for cell in ("up", "down")])


def _ratio(a, b):
    return None if a is None or not b else a / b


def _both_ends(figures, way, cell=None):
    """Returns the CPU seconds per GiB of all processes of a subject."""
    cpus = [figures.cpu(cell or way, process) for process in range(len(figures.labels))]
    return sum(cpus) if cpus and None not in cpus else None


def _all_peaks(figures):
    return sum(figures.peak) if figures.peak else None


class Crowd:
    """The medians of one subject with different numbers of idle connections or sessions."""

    def __init__(self, entry):
        self.title = entry["title"]
        self.peak = max(entry["peak"]) if entry["peak"] else None
        self.populations = list(dict.fromkeys(run["idle"] for run in entry["runs"]))
        self._figures = {idle: Figures({"title": "", "cells": {
            load: [run for run in entry["runs"] if (run["idle"], run["load"]) == (idle, load)]
            for load in ("ping", "up", "down")}}) for idle in self.populations}

    def at(self, idle):
        return self._figures[idle]


def _print_crowds(title, crowds):
    if not crowds:
        return
    print(f"\n{title}")
    _print_row([heading for heading, _, _ in CROWD_COLUMNS], CROWD_COLUMNS)
    _print_row([unit for _, unit, _ in CROWD_COLUMNS], CROWD_COLUMNS)
    for crowd in crowds.values():
        for idle in crowd.populations:
            figures = crowd.at(idle)
            processes = len((figures.cells["up"] or [{"cpu": []}])[0]["cpu"]) - 1  # the last one is the peer
            figures.labels = [""] * processes
            last = idle == crowd.populations[-1]
            _print_row([crowd.title, str(idle), _ping(figures, "ping", in_ms=False), _number(figures.rate("up", "up"), 1e6),
                        _number(figures.rate("down", "down"), 1e6), _number(_both_ends(figures, "up"), 1, 2),
                        _number(_both_ends(figures, "down"), 1, 2), _number(crowd.peak if last else None, MIB)],
                       CROWD_COLUMNS)


def _at_least(text, bound, value):
    return text, f"≥ {bound:.2f}", value, 2, value is not None and value >= bound


def _at_most(text, bound, value, digits=2):
    return text, f"≤ {bound:.{digits}f}", value, digits, value is not None and value <= bound


def _expected_of_client(figures, stall_seconds):
    """Expectations of our tunnel in front of an ideal peer."""
    ours, limrun, relay, multiplexed = (figures(key) for key in ("singleton", "limrun-singleton", "relay", "multiplexed"))

    for way in ("up", "down"):
        yield _at_least(f"throughput {way}, times limrun's", 3, _ratio(ours.rate(way, way), limrun.rate(way, way)))
    for way in ("up", "down"):
        yield _at_most(f"CPU per GiB {way}, share of limrun's", 0.25, _ratio(ours.cpu(way), limrun.cpu(way)))
    for way, share in (("up", 1 / 3), ("down", 0.5)):
        yield _at_least(f"throughput {way}, share of the bare relay's", share,
                        _ratio(ours.rate(way, way), relay.rate(way, way)))
    growth = ours.growth()
    yield _at_most(f"growth with a reader stalled for {stall_seconds:.0f} s, MiB", 8,
                   None if growth is None else growth / MIB, 1)
    yield _at_most("p50 for 64 bytes, share of limrun's", 1,
                   _ratio(ours.ping("ping", "p50_us"), limrun.ping("ping", "p50_us")))
    for way in ("up", "down"):
        p99 = multiplexed.ping(f"ping-{way}", "p99_us")
        yield _at_most(f"p99 beside a bulk transfer {way}, multiplexed, ms", BESIDE_BULK_LIMIT_MS,
                       None if p99 is None else p99 / 1000, 1)
    for mode, protocol in (("singleton", "raw"), ("multiplexed", "tagged")):
        plain, resumable = (figures(f"{kind}-{mode}") for kind in ("gateway", "resumable"))
        for way in ("up", "down"):
            yield _at_least(f"resumable {mode} {way}, share of the throughput of {protocol}", 0.85,
                            _ratio(resumable.rate(way, way), plain.rate(way, way)))


PROTOCOLS = {"gateway-singleton": "raw", "gateway-multiplexed": "tagged", "resumable-singleton": "resumable, singleton",
             "resumable-multiplexed": "resumable", "gateway-parallel": "raw, parallel",
             "resumable-parallel": "resumable, parallel"}


def _expected_throughput_of_pair(ours, other, key):
    for cell, streams in (("up", ""), ("down", ""), ("up-8", ", 8 streams"), ("down-8", ", 8 streams")):
        way = cell.removesuffix("-8")
        if streams == "" or "singleton" not in key:
            yield _at_least(f"{PROTOCOLS[key]}: throughput {way}{streams}, times wstunnel's", 1,
                            _ratio(ours.rate(cell, way), other.rate(cell, way)))


def _expected_cpu_of_pair(ours, other, key, plain, resumable):
    for way in ("up", "down"):
        yield _at_most(f"{PROTOCOLS[key]}: CPU {way}, times wstunnel's", resumable if "resumable" in key else plain,
                       _ratio(_both_ends(ours, way), _both_ends(other, way)))


def _expected_connections_of_pair(ours, other, key):
    yield _at_least(f"{PROTOCOLS[key]}: connections a second, times wstunnel's", 1,
                    _ratio(ours.connections(), other.connections()))


def _expected_of_pairs(figures):
    """Expectations of a tunnel and a gateway in comparison with similar programs."""
    relays, other = figures("relays"), figures("wstunnel")

    for key, protocol in PROTOCOLS.items():
        ours = figures(key)
        yield from _expected_throughput_of_pair(ours, other, key)
        yield from _expected_cpu_of_pair(ours, other, key, 1, 1.25)
        yield _at_most(f"{protocol}: p50 for 64 bytes, times two relays'", 1.2,
                       _ratio(ours.ping("ping", "p50_us"), relays.ping("ping", "p50_us")))
        for way in ("up", "down") if "singleton" not in key else ():
            p99 = ours.ping(f"ping-{way}", "p99_us")
            yield _at_most(f"{protocol}: p99 beside bulk {way}, times wstunnel's", 1,
                           _ratio(p99, other.ping(f"ping-{way}", "p99_us")))
            yield _at_most(f"{protocol}: p99 beside bulk {way}, times two relays'", 4,
                           _ratio(p99, relays.ping(f"ping-{way}", "p99_us")))
        yield from _expected_connections_of_pair(ours, other, key)
        yield _at_most(f"{protocol}: peak memory, times wstunnel's", 0.25, _ratio(_all_peaks(ours), _all_peaks(other)))


def _expected_of_pairs_over_tls(figures):
    """The relays do not encrypt, so these expectations only refer to wstunnel over wss."""
    other = figures("wstunnel")

    for key, protocol in PROTOCOLS.items():
        ours = figures(key)
        yield from _expected_throughput_of_pair(ours, other, key)
        yield from _expected_cpu_of_pair(ours, other, key, 1.1, 1.35)
        yield _at_most(f"{protocol}: p50 for 64 bytes, times wstunnel's", 1.1,
                       _ratio(ours.ping("ping", "p50_us"), other.ping("ping", "p50_us")))
        yield from _expected_connections_of_pair(ours, other, key)


def _expected_of_crowds(crowds, what):
    for key, crowd in crowds.items():
        for idle in crowd.populations[1:] if key in PROTOCOLS else ():
            with_idle, alone = crowd.at(idle), crowd.at(0)
            yield _at_most(f"{PROTOCOLS[key]}: p50 with {idle} idle {what}, times that without", 1.1,
                           _ratio(with_idle.ping("ping", "p50_us"), alone.ping("ping", "p50_us")))
            for way in ("up", "down"):
                yield _at_least(f"{PROTOCOLS[key]}: {way} with {idle} idle {what}, times that without", 0.9,
                                _ratio(with_idle.rate(way, way), alone.rate(way, way)))


def _expected_of_floods(crowds):
    if crowd := crowds.get("flooded"):
        for flood in crowd.populations[1:]:
            yield _at_most(f"p99 for 64 bytes beside {flood}, times that without", 4,
                           _ratio(crowd.at(flood).ping("ping", "p99_us"), crowd.at("no flood").ping("ping", "p99_us")))


def _print_expectations(expectations):
    """Returns True if all of them are met."""
    measured = [expectation for expectation in expectations if expectation[2] is not None]
    if measured:
        print(f"\n{'expected':<72}{'bound':>9}{'measured':>10}")
    for text, bound, value, digits, met in measured:
        print(f"{text:<72}{bound:>9}{_number(value, 1, digits):>10}  {'met' if met else 'NOT MET'}")
    return all(met for *_, met in measured)


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
    """Prints everything; returns True if all expectations of measured values are met."""
    all_figures = {key: Figures(subject) for key, subject in outcome["subjects"].items()}
    idle, sessions, threads, floods = ({key: Crowd(entry) for key, entry in outcome["sections"][name].items() if entry["runs"]}
                               for name in ("idle", "sessions", "threads", "floods"))
    nothing = Figures({"title": "", "cells": {}})
    over = "pairs and wstunnel over wss, relays without TLS; " if outcome["tls"] else ""
    print(f"{outcome['machine']['cpus']} CPUs, Linux {outcome['machine']['kernel']}; {over}medians of {outcome['rounds']} cells of "
          f"{outcome['seconds']:g} s; round trips are p50/p99; {outcome['took'] / 60:.0f} minutes in all")
    if any(figures.cells for figures in all_figures.values()):
        _print_row([heading for heading, _, _ in COLUMNS])
        _print_row([unit for _, unit, _ in COLUMNS])
        for figures in all_figures.values():
            _print_subject(figures)
    _print_crowds("with idle connections through the same tunnel", idle)
    _print_crowds("with idle sessions of the same gateway", sessions)
    _print_crowds("I/O threads of each process", threads)
    _print_crowds("with another client of the same gateway that floods it", floods)
    print()
    _print_notes(all_figures, outcome)

    def figures_of(key):
        return all_figures.get(key, nothing)

    if outcome["tls"]:
        of_subjects = [*_expected_of_pairs_over_tls(figures_of)]
    else:
        of_subjects = [*_expected_of_client(figures_of, outcome["stall_seconds"]), *_expected_of_pairs(figures_of)]
    return _print_expectations([*of_subjects, *_expected_of_crowds(idle, "connections"), *_expected_of_crowds(sessions, "sessions"),
                                *_expected_of_floods(floods)])
