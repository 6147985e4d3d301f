#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures our tunnel beside other ways to do its work, in one run and into one table."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import report
from subjects import BenchError, Tools, available_subjects, die_with_parent

REPEATS = 3
THROUGHPUT = ("up", "down", "both")
BESIDE_BULK = ("ping-up", "ping-down")
BESIDE_IDLE = ("idle-ping", "idle-up", "idle-down")
CELLS = THROUGHPUT + ("ping",) + BESIDE_BULK + BESIDE_IDLE + ("connect", "stall")

MEMORY_CAP = 4 << 30
STALL_CAP = 1 << 30
WARM_UP = 0.25
LOAD_GRACE = 60


class Run:
    """One load through one subject, its memory watched meanwhile."""

    def __init__(self, tools, subject, load, seconds, cap, idle=0):
        self.subject = subject
        self.cap = cap
        self.base = [process.memory("VmRSS") for process in subject.processes]
        self.highest = list(self.base)
        self.started = time.monotonic()
        self.deadline = self.started + seconds + LOAD_GRACE
        self.capped_after = None
        argv = [tools.load, load, "--port", str(subject.port), "--stats", subject.stats,
                "--pids", ",".join(str(process.pid) for process in subject.measured),
                "--milliseconds", str(int(seconds * 1000)), "--warm-up", str(int(WARM_UP * 1000)),
                "--idle", str(idle)]
        self.popen = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                      preexec_fn=die_with_parent)

    def growth(self):
        return [high - base for high, base in zip(self.highest, self.base)]

    def poll(self):
        """Takes a look; true while there is more to wait for."""
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
        out, err = self.popen.communicate()
        result = {"growth": self.growth()}
        if self.capped_after is not None:
            return result | {"capped_after": self.capped_after}
        if self.popen.returncode != 0:
            words = [process.last_words() for process in self.subject.processes]
            raise BenchError(f"{err.strip() or 'no result'} ({'; '.join(words)})")
        return result | json.loads(out)


class Bench:
    def __init__(self, args, tools):
        self.args = args
        self.tools = tools
        self.failures = []
        self.skipped = []
        self.subjects = available_subjects(tools, lambda *why: self.skipped.append(why), args.only)
        self.results = {subject.key: {"title": subject.title, "cells": {}} for subject in self.subjects}

    def say(self, text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def fail(self, subject, what, error):
        self.failures.append(f"{subject.title}, {what}: {error}")
        self.results[subject.key]["cells"].setdefault(what, [])

    def start(self, subject):
        try:
            subject.start(self.tools)
            return True
        except BenchError as error:
            self.fail(subject, "start", error)
            subject.stop()
            return False

    def wants(self, subject, cell):
        return cell in self.args.cells and (subject.parallel or cell not in BESIDE_BULK + BESIDE_IDLE)

    def measure(self, subject, cell):
        idle = self.args.idle if cell in BESIDE_IDLE else 0
        run = Run(self.tools, subject, cell.removeprefix("idle-"), self.args.seconds, MEMORY_CAP, idle)
        while run.poll():
            time.sleep(0.02)
        try:
            result = run.finish()
            if "capped_after" in result:
                raise BenchError("took more than 4 GiB of memory")
            self.results[subject.key]["cells"].setdefault(cell, []).append(result)
        except BenchError as error:
            self.fail(subject, cell, error)
        subject.settle()

    def measure_cells(self):
        """A round of a cell goes through all subjects before the next round, there and back again,
        so that what is compared was measured within the same minute."""
        running = [subject for subject in self.subjects if self.start(subject)]
        for cell in CELLS[:-1]:
            for turn in range(REPEATS):
                for subject in running if turn % 2 == 0 else running[::-1]:
                    if self.wants(subject, cell):
                        self.say(f"{cell} {turn + 1}/{REPEATS}: {subject.title}")
                        self.measure(subject, cell)
        for subject in running:
            result = self.results[subject.key]
            result["processes"] = [process.label for process in subject.processes]
            result["peak"] = [process.memory("VmHWM") for process in subject.processes]
            subject.stop()

    def measure_stalls(self):
        """All at once, in fresh processes: those that behave are idle."""
        runs = []
        for subject in self.subjects:
            if self.start(subject):
                warm = Run(self.tools, subject, "ping", 0.1, MEMORY_CAP)
                while warm.poll():
                    time.sleep(0.02)
                warm.popen.communicate()
                subject.settle()
                runs.append(Run(self.tools, subject, "stall", self.args.stall_seconds, STALL_CAP))
        self.say(f"stalled readers, {self.args.stall_seconds} s")
        pending = list(runs)
        while pending:
            time.sleep(0.05)
            pending = [run for run in pending if run.poll()]
        for run in runs:
            try:
                self.results[run.subject.key]["cells"]["stall"] = [run.finish()]
            except BenchError as error:
                self.fail(run.subject, "stall", error)
            run.subject.stop()

    def run(self):
        try:
            if set(self.args.cells) != {"stall"}:
                self.measure_cells()
            if "stall" in self.args.cells:
                self.measure_stalls()
        finally:
            for subject in self.subjects:
                subject.stop()
            self.say("")
        return {
            "machine": {"cpus": os.cpu_count(), "kernel": platform.release()},
            "seconds": self.args.seconds,
            "stall_seconds": self.args.stall_seconds,
            "idle": self.args.idle,
            "subjects": self.results,
            "skipped": self.skipped,
            "failures": self.failures,
        }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short cells: for a look, not for a verdict")
    parser.add_argument("--seconds", type=float, help="length of a cell (3; quick: 0.7)")
    parser.add_argument("--stall-seconds", type=float, help="how long a reader stalls (60; quick: 5)")
    parser.add_argument("--idle", type=int, default=900, help="how many idle connections there are beside (900)")
    parser.add_argument("--only", action="append", metavar="SUBJECT", help="subjects whose name begins so; repeatable")
    parser.add_argument("--cells", type=lambda text: text.split(","), default=CELLS, help=",".join(CELLS))
    parser.add_argument("--json", metavar="FILE", help="also write all that was measured")
    parser.add_argument("--check", action="store_true", help="exit 1 unless all that is expected was met")
    parser.add_argument("--build-dir", default=".", help="where the programs are; npm installs there")
    args = parser.parse_args()
    args.seconds = args.seconds or (0.7 if args.quick else 3)
    args.stall_seconds = args.stall_seconds or (5 if args.quick else 60)
    args.build_dir = os.path.abspath(args.build_dir)
    if unknown := set(args.cells) - set(CELLS):
        parser.error(f"no such cell: {', '.join(unknown)}")
    return args


def main():
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="tcptunnel-bench-") as directory:
        outcome = Bench(args, Tools(args.build_dir, directory)).run()
    verdict = report.show(outcome)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(outcome, file, indent=1)
    if outcome["failures"] or (args.check and not verdict):
        sys.exit(1)


if __name__ == "__main__":
    main()
