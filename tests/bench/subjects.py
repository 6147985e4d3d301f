# SPDX-License-Identifier: LGPL-2.1-or-later
"""The subjects of the measurements: each consists of one or two processes in front of a peer of its own."""

import ctypes
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import time

START_TIMEOUT = 20
PR_SET_PDEATHSIG = 1
CPUCLOCK_SCHED = 2

MANY_CONNECTIONS = 16000
COPIES = 8

libc = ctypes.CDLL(None)


class BenchError(Exception):
    pass


def cpu_seconds(pid):
    """Returns the processor time of a process."""
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A child whose CPU time and memory are measured."""

    def __init__(self, label, argv, directory, port=None, env=None):
        self.label = label
        self.port = port
        self.ports = [port]
        self.log_path = os.path.join(directory, f"{os.path.basename(argv[0])}-{time.monotonic_ns()}.log")
        with open(self.log_path, "wb") as log:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log, preexec_fn=die_with_parent,
                                          env=os.environ | (env or {}),
                                          stdout=subprocess.PIPE if port is None else log)
        self.pid = self.popen.pid
        try:
            if port is None:
                self._read_port()
            else:
                self._wait_for_port()
        except BenchError:
            self.stop()
            raise

    def _read_port(self):
        ready, _, _ = select.select([self.popen.stdout], [], [], START_TIMEOUT)
        words = self.popen.stdout.readline().split() if ready else []
        if len(words) < 2 or words[0] != b"listening":
            raise BenchError(f"{self.label} did not start: {self.last_words()}")
        self.ports = [int(word) for word in words[1:]]
        self.port = self.ports[0]

    def _wait_for_port(self):
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.popen.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise BenchError(f"{self.label} does not listen: {self.last_words()}")

    def last_words(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()[-500:].strip() or "without a word"

    def memory(self, field):
        """Returns VmRSS or VmHWM in bytes; 0 if the process has ended."""
        try:
            with open(f"/proc/{self.pid}/status") as status:
                for line in status:
                    if line.startswith(field):
                        return int(line.split()[1]) * 1024
        except OSError:
            pass
        return 0

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def stop(self):
        self.popen.kill()
        self.popen.wait()
        if self.popen.stdout:
            self.popen.stdout.close()


def free_port():
    """Returns a port outside the range from which the system assigns ports, so that it is still free a moment later.
    """
    while True:
        try:
            with socket.create_server(("127.0.0.1", random.randrange(10000, 30000))) as listener:
                return listener.getsockname()[1]
        except OSError:
            pass


class Subject:
    """`build` starts the processes in front of the peer, the one that the load connects to first. `descriptors` is
    the number that a connection takes in the process that needs most; None if that process uses a thread for each
    connection."""

    def __init__(self, key, title, build, parallel=True, descriptors=1):
        self.key = key
        self.title = title
        self.parallel = parallel
        self.descriptors = descriptors
        self._build = build
        self.processes = []
        self.peer = None
        self.stats = None

    def start(self, tools):
        self.stats = os.path.join(tools.directory, f"{self.key}.stats")
        self.peer = Process("peer", [tools.peer, self.stats], tools.directory)
        self._build(tools, self.peer.port, self.processes)

    def stop(self):
        for process in self.processes + [self.peer]:
            if process:
                process.stop()
        self.processes = []
        self.peer = None

    @property
    def ports(self):
        return self.processes[0].ports

    @property
    def measured(self):
        return self.processes + [self.peer]

    def settle(self):
        """Waits for the effects of the previous load to end, such as bytes that are still queued."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            before = sum(process.cpu_seconds() for process in self.measured)
            time.sleep(0.05)
            if sum(process.cpu_seconds() for process in self.measured) - before < 0.002:
                return


def make_certificate(directory):
    """Makes a certificate of the kind that wstunnel makes for itself, so that a handshake costs the same. Returns the
    path of a file with the certificate and its key."""
    certificate, key = (os.path.join(directory, name) for name in ("certificate.pem", "key.pem"))
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", key, "-out", certificate], check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as error:
        raise BenchError(f"no certificate could be made: openssl did not start: {error}") from error
    except subprocess.CalledProcessError as error:
        raise BenchError(f"no certificate could be made: openssl: {error.stderr.strip()}") from error
    both = os.path.join(directory, "certificate-and-key.pem")
    with open(both, "wb") as output:
        for path in (certificate, key):
            with open(path, "rb") as source:
                shutil.copyfileobj(source, output)
    return both


class Tools:
    """The paths of the programs that the subjects need."""

    def __init__(self, build_dir, directory, wstunnel="wstunnel", tls=False):
        self.directory = directory
        self.scheme = "wss" if tls else "ws"
        self.certificate = make_certificate(directory) if tls else None
        self.wstunnel = wstunnel
        self.load = os.path.join(build_dir, "bench-load")
        self.peer = os.path.join(build_dir, "bench-ideal-peer")
        self.flood = os.path.join(build_dir, "bench-flood")
        self.relay = os.path.join(build_dir, "bench-bare-relay")
        self.endpoint = os.path.join(build_dir, "bench-endpoint")
        self.source_dir = os.path.dirname(os.path.abspath(__file__))
        self.node_dir = os.path.join(build_dir, "limrun")

    def spawn(self, label, *argv, port=None, env=None):
        return Process(label, [str(arg) for arg in argv], self.directory, port, env)

    def spawn_endpoint(self, kind, *argv, env=None):
        return self.spawn(kind, self.endpoint, kind, *argv, env=env)

    def spawn_gateway(self, *argv, env=None):
        return self.spawn_endpoint("gateway", *self._certificate_options(), *argv, env=env)

    def spawn_tunnel_to(self, ports, *argv, env=None):
        """Starts a tunnel to each of the gateways on these ports."""
        uris = [f"{self.scheme}://127.0.0.1:{port}/" for port in ports]
        return self.spawn_endpoint("tunnel", *uris, *self._certificate_options(), *argv, env=env)

    def _certificate_options(self):
        return ["--certificate", self.certificate] if self.certificate else []


def build_relays(count):
    def build(tools, peer_port, processes):
        for _ in range(count):
            processes.insert(0, tools.spawn("relay", tools.relay, processes[0].port if processes else peer_port))
    return build


def build_tunnel(*options):
    def build(tools, peer_port, processes):
        processes.append(tools.spawn_endpoint("tunnel", f"ws://127.0.0.1:{peer_port}/", *options))
    return build


def build_pair(*options, copies=1, env=None):
    """The same number of tunnels and gateways, each kind in one process."""
    def build(tools, peer_port, processes):
        more = [option for option in options if option.startswith("--connections")]
        gateway = tools.spawn_gateway(f"127.0.0.1:{peer_port}", "--copies", copies, *more, env=env)
        processes.append(gateway)
        processes.insert(0, tools.spawn_tunnel_to(gateway.ports, *options, env=env))
    return build


def build_limrun(mode):
    def build(tools, peer_port, processes):
        script = os.path.join(tools.node_dir, "limrun-client.mjs")
        uri = f"ws://127.0.0.1:{peer_port}/"
        processes.append(tools.spawn("client", "node", script, uri, "bench", mode))
    return build


def build_wstunnel(tools, peer_port, processes):
    server, local = free_port(), free_port()
    uri = f"{tools.scheme}://127.0.0.1:{server}"
    processes.append(tools.spawn("server", tools.wstunnel, "server", uri, port=server))
    processes.insert(0, tools.spawn("client", tools.wstunnel, "client", "-L",
                                    f"tcp://127.0.0.1:{local}:127.0.0.1:{peer_port}", uri, port=local))


def build_chisel(tools, peer_port, processes):
    server, local = free_port(), free_port()
    processes.append(tools.spawn("server", "chisel", "server", "--host", "127.0.0.1", "--port", server, port=server))
    processes.insert(0, tools.spawn("client", "chisel", "client", f"http://127.0.0.1:{server}",
                                    f"127.0.0.1:{local}:127.0.0.1:{peer_port}", port=local))


def build_websocat(tools, peer_port, processes):
    local = free_port()
    processes.append(tools.spawn("websocat", "websocat", "--binary", "--exit-on-eof", f"tcp-listen:127.0.0.1:{local}",
                                 f"ws://127.0.0.1:{peer_port}/", port=local))


def prepare_limrun(tools):
    """Returns why limrun's client cannot be measured, or None."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            return f"{program} is missing"
    os.makedirs(tools.node_dir, exist_ok=True)
    for name in ("package.json", "limrun-client.mjs"):
        shutil.copy(os.path.join(tools.source_dir, name), tools.node_dir)
    if os.path.isdir(os.path.join(tools.node_dir, "node_modules", "@limrun", "api")):
        return None
    npm = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    try:
        done = subprocess.run(npm, cwd=tools.node_dir, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=180)
    except subprocess.TimeoutExpired:
        return "npm install took too long"
    return None if done.returncode == 0 else f"npm install failed: {done.stderr.strip()[:200]}"


def make_subjects():
    return [
        Subject("relay", "bare relay", build_relays(1), descriptors=None),
        Subject("relays", "two relays", build_relays(2), descriptors=None),
        Subject("singleton", "tunnel singleton", build_tunnel("--singleton"), parallel=False),
        Subject("multiplexed", "tunnel multiplexed", build_tunnel()),
        Subject("gateway-singleton", "+gateway singleton", build_pair("--singleton"), parallel=False),
        Subject("gateway-multiplexed", "+gateway multiplex", build_pair()),
        Subject("resumable-singleton", "resumable singleton", build_pair("--singleton", "--resumable"), parallel=False),
        Subject("resumable-multiplexed", "resumable multiplex", build_pair("--resumable")),
        Subject("gateway-parallel", "+gateway parallel", build_pair("--parallel"), descriptors=2),
        Subject("resumable-parallel", "resumable parallel", build_pair("--parallel", "--resumable"), descriptors=2),
        Subject("limrun-singleton", "limrun singleton", build_limrun("singleton"), parallel=False),
        Subject("limrun-multiplexed", "limrun multiplexed", build_limrun("multiplexed")),
        Subject("wstunnel", "wstunnel", build_wstunnel, descriptors=2),
        Subject("chisel", "chisel", build_chisel),
        Subject("websocat", "websocat", build_websocat),
    ]


def make_crowds():
    """Returns the subjects for measurements with idle connections."""
    many = f"--connections={MANY_CONNECTIONS}"
    return [
        Subject("gateway-multiplexed", "+gateway multiplex", build_pair(many)),
        Subject("resumable-multiplexed", "resumable multiplex", build_pair(many, "--resumable")),
        Subject("wstunnel", "wstunnel", build_wstunnel, descriptors=2),
    ]


def make_threaded():
    """Returns eight tunnels to eight gateways, whose processes have one or two I/O threads each."""
    return [Subject(f"{threads}-threads", f"{COPIES} pairs, {threads} thread{'s' if threads > 1 else ''}",
                    build_pair(copies=COPIES, env={"TCP_TUNNEL_IO_THREADS": str(threads)})) for threads in (1, 2)]


def make_flooded():
    """Returns a pair with a single I/O thread, so that the flood affects the other client, and a subject that shows
    how much of the machine is left for others meanwhile."""
    return (Subject("flooded", "tagged, flooded", build_pair(env={"TCP_TUNNEL_IO_THREADS": "1"})),
            Subject("beside-flooded", "two relays beside", build_relays(2)))


def available_subjects(tools, skip, wanted):
    """Returns all subjects that can run here; `skip` is called with the others."""
    subjects = make_subjects()
    if wanted:
        subjects = [subject for subject in subjects if any(subject.key.startswith(key) for key in wanted)]

    why = {name: f"{name} is not on PATH" for name in ("chisel", "websocat") if not shutil.which(name)}
    if not shutil.which(tools.wstunnel):
        why["wstunnel"] = "wstunnel is not on PATH, and --wstunnel does not name it"
    if any(subject.key.startswith("limrun") for subject in subjects):
        problem = prepare_limrun(tools)
        why.update({"limrun-singleton": problem, "limrun-multiplexed": problem} if problem else {})
    for subject in subjects:
        if subject.key in why:
            skip(subject.title, why[subject.key])
    return [subject for subject in subjects if subject.key not in why]
