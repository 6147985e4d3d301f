#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures our tunnel and other programs for the same purpose, in one run."""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time

import report
from subjects import COPIES, BenchError, Tools, available_subjects, die_with_parent, make_crowds, make_flooded, make_threaded

MANY_STREAMS = 8
THROUGHPUT = {"up": ("up",), "down": ("down",), "both": ("both",)}
MANY = {f"{way}-{MANY_STREAMS}": (way, "--streams", str(MANY_STREAMS)) for way in ("up", "down")}
BESIDE_BULK = {"ping-up": ("ping-up",), "ping-down": ("ping-down",)}
CELLS = THROUGHPUT | MANY | {"ping": ("ping",)} | BESIDE_BULK | {"connect": ("connect",)}
SECTIONS = ("idle", "sessions", "threads", "floods", "stall")
FLOODS = ("open-reset", "open-close", "single-bytes")

# The comparison with similar programs: both ends, and nothing of limrun.
PAIRS = ("relays", "gateway", "resumable", "wstunnel")
PAIR_CELLS = [cell for cell in CELLS if cell != "both"] + ["idle", "sessions", "threads", "floods"]

# The flood, and the peer of a tunnel without a gateway, only support ws://.
WITHOUT_TLS_SUBJECTS = ("singleton", "multiplexed", "limrun", "chisel", "websocat")
WITHOUT_TLS_CELLS = {"floods"}

MEMORY_CAP = 4 << 30
STALL_CAP = 1 << 30
WARM_UP = 0.25
LOAD_GRACE = 60
SPARE_DESCRIPTORS = 500


class Run:
    """A process that puts loads on one subject, whose memory is watched meanwhile."""

    def __init__(self, tools, subject, loads, seconds, cap):
        self.subject = subject
        self.cap = cap
        self.base = [process.memory("VmRSS") for process in subject.processes]
        self.highest = list(self.base)
        self.started = time.monotonic()
        self.deadline = self.started + seconds + LOAD_GRACE
        self.capped_after = None
        argv = [tools.load, *loads, "--stats", subject.stats,
                "--pids", ",".join(str(process.pid) for process in subject.measured),
                "--milliseconds", str(int(seconds * 1000)), "--warm-up", str(int(WARM_UP * 1000))]
        argv += [f"--port={port}" for port in subject.ports]
        self.popen = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                      preexec_fn=die_with_parent)

    def growth(self):
        return [high - base for high, base in zip(self.highest, self.base)]

    def poll(self):
        """Checks memory and time; returns True while the process runs."""
        running = self.popen.poll() is None
        rss = [process.memory("VmRSS") for process in self.subject.processes]
        self.highest = [max(pair) for pair in zip(self.highest, rss)]
        if running and max(self.growth()) > self.cap:
            self.capped_after = time.monotonic() - self.started
            self.popen.kill()
        elif running and time.monotonic() > self.deadline:
            self.popen.kill()
        else:
            return running
        return False

    def finish(self):
        """Returns the results, one dictionary for each load."""
        out, err = self.popen.communicate()
        if self.capped_after is not None:
            return [{"growth": self.growth(), "capped_after": self.capped_after}]
        if self.popen.returncode != 0:
            words = [process.last_words() for process in self.subject.processes]
            raise BenchError(f"{err.strip() or 'no result'} ({'; '.join(words)})")
        return [{"growth": self.growth()} | json.loads(line) for line in out.splitlines()]

    def wait(self):
        while self.poll():
            time.sleep(0.02)
        results = self.finish()
        if self.capped_after is not None:
            raise BenchError("took more than 4 GiB of memory")
        return results


class Bench:
    def __init__(self, args, tools):
        self.args = args
        self.tools = tools
        self.failures = []
        self.skipped = []
        self.subjects = available_subjects(tools, lambda *why: self.skipped.append(why), args.only)
        self.results = {subject.key: {"title": subject.title, "cells": {}} for subject in self.subjects}
        self.sections = {"idle": {}, "sessions": {}, "threads": {}, "floods": {}}

    def say(self, text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def start(self, subject):
        try:
            subject.start(self.tools)
            return True
        except BenchError as error:
            self.failures.append(f"{subject.title}, start: {error}")
            subject.stop()
            return False

    def measure(self, subject, what, loads, into):
        """Appends the results to `into`."""
        try:
            into += Run(self.tools, subject, loads, self.args.seconds, MEMORY_CAP).wait()
        except BenchError as error:
            self.failures.append(f"{subject.title}, {what}: {error}")
        subject.settle()

    def rounds(self, subjects, what):
        """Yields all subjects in each round, in alternating order, so that compared results were measured within the
        same minute."""
        for turn in range(self.args.rounds):
            for subject in subjects if turn % 2 == 0 else subjects[::-1]:
                self.say(f"{what} {turn + 1}/{self.args.rounds}: {subject.title}")
                yield subject

    def wanted_cells(self, subject):
        return [cell for cell in CELLS if cell in self.args.cells and
                (subject.parallel or cell not in BESIDE_BULK | MANY)]

    def measure_cells(self):
        running = [subject for subject in self.subjects if self.start(subject)]
        for cell, loads in CELLS.items():
            concerned = [subject for subject in running if cell in self.wanted_cells(subject)]
            for subject in self.rounds(concerned, cell):
                self.measure(subject, cell, loads, self.results[subject.key]["cells"].setdefault(cell, []))
        for subject in running:
            result = self.results[subject.key]
            result["processes"] = [process.label for process in subject.processes]
            result["peak"] = [process.memory("VmHWM") for process in subject.processes]
            subject.stop()

    def is_wanted(self, subject):
        return subject.key in self.results

    def entry(self, section, subject):
        return self.sections[section].setdefault(subject.key, {"title": subject.title, "runs": [], "peak": []})

    def keep_peak(self, entry, subject):
        entry["peak"].append(sum(process.memory("VmHWM") for process in subject.processes))

    def measure_idle(self):
        """With no, some and many idle connections through the same processes."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS
        for subject in self.rounds([crowd for crowd in make_crowds() if self.is_wanted(crowd)], "idle connections"):
            populations = sorted({0} | {min(n, limit // subject.descriptors) for n in self.args.idle})
            entry = self.entry("idle", subject)
            if self.start(subject):
                idle = ",".join(map(str, populations))
                self.measure(subject, "idle connections", ("ping", "up", "down", "--idle", idle), entry["runs"])
                self.keep_peak(entry, subject)
            subject.stop()

    def measure_sessions(self):
        """The same with idle sessions of the gateway, each of a separate tunnel without connections."""
        concerned = [subject for subject in make_crowds() if self.is_wanted(subject) and subject.key != "wstunnel"]
        for subject in self.rounds(concerned, "idle sessions"):
            entry = self.entry("sessions", subject)
            idle = None
            try:
                subject.start(self.tools)
                for sessions in (0, self.args.sessions):
                    if sessions:
                        resumable = ["--resumable"] if subject.key.startswith("resumable") else []
                        idle = self.tools.spawn_tunnel_to(subject.processes[-1].ports, "--copies", sessions, *resumable)
                        subject.settle()
                    runs = []
                    self.measure(subject, "idle sessions", ("ping", "up", "down"), runs)
                    entry["runs"] += [run | {"idle": sessions} for run in runs]
                self.keep_peak(entry, subject)
            except BenchError as error:
                self.failures.append(f"{subject.title}, idle sessions: {error}")
            if idle:
                idle.stop()
            subject.stop()

    def measure_threads(self):
        running = [subject for subject in make_threaded() if self.start(subject)]
        for subject in self.rounds(running, "threads"):
            self.measure(subject, "threads", ("ping", "up", "down", "--streams", str(COPIES)),
                         self.entry("threads", subject)["runs"])
        for subject in running:
            self.keep_peak(self.entry("threads", subject), subject)
            subject.stop()

    def measure_floods(self):
        """The round trip of one client of a gateway while another floods it; and the round trip through two relays,
        which share only the processors with both."""
        flooded, relays = make_flooded()
        for _ in self.rounds([flooded], "floods"):
            try:
                flooded.start(self.tools)
                relays.start(self.tools)
                for flood in (None, *FLOODS):
                    process = flood and self.tools.spawn("flood", self.tools.flood, flooded.processes[-1].port, flood)
                    for subject in (flooded, relays):
                        runs = []
                        self.measure(subject, flood, ("ping",), runs)
                        self.entry("floods", subject)["runs"] += [run | {"idle": flood or "no flood"} for run in runs]
                    if process:
                        if process.popen.poll() is not None:
                            raise BenchError(f"{flood}: {process.last_words()}")
                        process.stop()
                for subject in (flooded, relays):
                    self.keep_peak(self.entry("floods", subject), subject)
            except BenchError as error:
                self.failures.append(f"{flooded.title}, floods: {error}")
            flooded.stop()
            relays.stop()

    def measure_stalls(self):
        """All at once, in fresh processes: subjects that work correctly are idle."""
        runs = []
        for subject in self.subjects:
            if self.start(subject):
                Run(self.tools, subject, ("ping",), 0.1, MEMORY_CAP).wait()
                subject.settle()
                runs.append(Run(self.tools, subject, ("stall",), self.args.stall_seconds, STALL_CAP))
        self.say(f"stalled readers, {self.args.stall_seconds} s")
        pending = list(runs)
        while pending:
            time.sleep(0.05)
            pending = [run for run in pending if run.poll()]
        for run in runs:
            try:
                self.results[run.subject.key]["cells"]["stall"] = run.finish()
            except BenchError as error:
                self.failures.append(f"{run.subject.title}, stall: {error}")
            run.subject.stop()

    def run(self):
        sections = {"idle": self.measure_idle, "sessions": self.measure_sessions, "threads": self.measure_threads,
                    "floods": self.measure_floods, "stall": self.measure_stalls}
        started = time.monotonic()
        try:
            if set(self.args.cells) & set(CELLS):
                self.measure_cells()
            for section, measure in sections.items():
                if section in self.args.cells:
                    measure()
        finally:
            for subject in self.subjects:
                subject.stop()
            self.say("")
        return {
            "machine": {"cpus": os.cpu_count(), "kernel": platform.release()},
            "tls": self.args.tls,
            "took": time.monotonic() - started,
            "seconds": self.args.seconds,
            "rounds": self.args.rounds,
            "stall_seconds": self.args.stall_seconds,
            "subjects": self.results,
            "sections": self.sections,
            "skipped": self.skipped,
            "failures": self.failures,
        }


def numbers(text):
    return [int(number) for number in text.split(",")]


def parse_arguments():
    every = list(CELLS) + list(SECTIONS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short cells: for a look, not for a verdict")
    parser.add_argument("--pairs", action="store_true",
                        help="tunnel and gateway beside two relays and wstunnel, also with idle connections and sessions")
    parser.add_argument("--tls", action="store_true", help="--pairs over wss://, and wstunnel so too")
    parser.add_argument("--rounds", type=int, help="how often each cell is measured (3; pairs: 5; quick: 1)")
    parser.add_argument("--seconds", type=float, help="length of a cell (3; pairs: 1.5; quick: 0.7)")
    parser.add_argument("--stall-seconds", type=float, help="how long a reader stalls (60; quick: 5)")
    parser.add_argument("--idle", type=numbers, default=[1000, 10000], metavar="N,…",
                        help="how many idle connections there are beside (1000,10000)")
    parser.add_argument("--sessions", type=int, default=2000, help="how many idle sessions there are beside (2000)")
    parser.add_argument("--wstunnel", metavar="FILE", default=os.environ.get("WSTUNNEL", "wstunnel"),
                        help="the program, if it is not on PATH; or $WSTUNNEL")
    parser.add_argument("--only", action="append", metavar="SUBJECT", help="subjects whose name begins so; repeatable")
    parser.add_argument("--cells", type=lambda text: text.split(","), help=",".join(every))
    parser.add_argument("--json", metavar="FILE", help="also write all that was measured")
    parser.add_argument("--check", action="store_true", help="exit 1 unless all that is expected was met")
    parser.add_argument("--build-dir", default=".", help="where the programs are; npm installs there")
    args = parser.parse_args()
    args.pairs = args.pairs or args.tls
    args.seconds = args.seconds or (0.7 if args.quick else 1.5 if args.pairs else 3)
    args.rounds = args.rounds or (1 if args.quick else 5 if args.pairs else 3)
    args.stall_seconds = args.stall_seconds or (5 if args.quick else 60)
    args.only = args.only or (PAIRS if args.pairs else None)
    if not args.cells:
        args.cells = PAIR_CELLS if args.pairs else list(CELLS) + ["stall"]
        if args.tls:
            args.cells = [cell for cell in args.cells if cell not in WITHOUT_TLS_CELLS]
    args.build_dir = os.path.abspath(args.build_dir)
    if unknown := set(args.cells) - set(every):
        parser.error(f"no such cell: {', '.join(unknown)}")
    if args.tls and (plain := set(args.cells) & WITHOUT_TLS_CELLS):
        parser.error(f"there is no such cell with --tls: {', '.join(plain)}")
    if args.tls and (plain := [key for key in args.only if key.startswith(WITHOUT_TLS_SUBJECTS)]):
        parser.error(f"there is no such subject with --tls: {', '.join(plain)}")
    return args


def main():
    args = parse_arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="tcptunnel-bench-") as directory:
        try:
            tools = Tools(args.build_dir, directory, args.wstunnel, args.tls)
        except BenchError as error:
            sys.exit(f"bench: {error}")
        outcome = Bench(args, tools).run()
    if args.json:
        with open(args.json, "w") as file:
            json.dump(outcome, file, indent=1)
    verdict = report.show(outcome)
    if outcome["failures"] or (args.check and not verdict):
        sys.exit(1)


if __name__ == "__main__":
    main()
