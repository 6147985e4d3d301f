#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures how much metrics and the status page cost a gateway with many connections, when each is read once per
second: the gateway's processor time for them, relative to what it takes while one of the connections carries bulk
data and the others small messages.

watching.py --build-dir _build [--connections N]
"""

import argparse
import http.client
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from subjects import cpu_seconds, die_with_parent

ECHO, BLAST, READY = b"E", b"B", b"R"
SCRAPES = 200
SECONDS = 6
MESSAGE = b"x" * 64


def start(argv, patterns, **environment):
    """Starts a process, and returns it with the values in the first lines that it prints."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env={**os.environ, **environment}, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    found = {}
    for line in process.stdout:
        for name, pattern in patterns.items():
            if match := re.search(pattern, line):
                found[name] = match[1]
        if len(found) == len(patterns):
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, found
    sys.exit(f"{argv[0]} did not start")


def open_flow(port, command):
    flow = socket.create_connection(("127.0.0.1", port), 15)
    flow.sendall(command)
    if flow.recv(1) != READY:
        sys.exit("a connection was not answered")
    return flow


def exchange(flows, over):
    while not over.is_set():
        for flow in flows:
            flow.sendall(MESSAGE)
        for flow in flows:
            left = len(MESSAGE)
            while left > 0:
                left -= len(flow.recv(left))


def take(flow, over):
    while not over.is_set():
        flow.recv(1 << 20)


def load(gateway, flows, blast):
    """Returns the processor time of the gateway per second."""
    over = threading.Event()
    threads = [threading.Thread(target=exchange, args=(flows, over), daemon=True),
               threading.Thread(target=take, args=(blast, over), daemon=True)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    began, before = time.monotonic(), cpu_seconds(gateway.pid)
    time.sleep(SECONDS)
    spent = (cpu_seconds(gateway.pid) - before) / (time.monotonic() - began)
    over.set()
    for thread in threads:
        thread.join(15)
    return spent


def read(gateway, admin, path):
    """Returns the processor time of the gateway for each request, and the size of the answer."""
    before = cpu_seconds(gateway.pid)
    for _ in range(SCRAPES):
        connection = http.client.HTTPConnection(admin, timeout=15)
        connection.request("GET", path)
        size = len(connection.getresponse().read())
    return (cpu_seconds(gateway.pid) - before) / SCRAPES, size


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=1000)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    command = options.build_dir / "src" / "cli" / "tcp-tunnel"
    processes = []
    with tempfile.TemporaryDirectory() as directory:
        try:
            peer, at = start([options.build_dir / "tests" / "bench" / "bench-ideal-peer", f"{directory}/stats"], {"port": r"(\d+)"})
            processes.append(peer)
            gateway, there = start([command, "gateway", "--target", f"127.0.0.1:{at['port']}", "--admin", "127.0.0.1:0"],
                                   {"admin": "http://(.*)/", "url": "listening on (.*)"}, TCP_TUNNEL_TOKEN="a")
            processes.append(gateway)
            tunnel, here = start([command, "connect", there["url"], "--mode", "multiplexed"],
                                 {"port": r"listening on 127\.0\.0\.1:(\d+)"}, TCP_TUNNEL_TOKEN="a")
            processes.append(tunnel)
            flows = [open_flow(int(here["port"]), ECHO) for _ in range(options.connections - 1)]
            cost = {path: read(gateway, there["admin"], path) for path in ("/metrics", "/status.json")}
            busy = load(gateway, flows, open_flow(int(here["port"]), BLAST))
        finally:
            for process in processes:
                process.kill()
                process.wait()
    print(f"{options.connections} connections; the gateway takes {busy * 1000:.0f} ms of processor time a second by itself")
    for path, (spent, size) in cost.items():
        print(f"{path}: {spent * 1000:.2f} ms each time for {size} bytes, {spent / busy:.2%}")
    total = sum(spent for spent, _ in cost.values())
    print(f"both, once a second: {total / busy:.2%} of that, {total:.2%} of one processor")
    return total / busy >= 0.01


sys.exit(main())
