# SPDX-License-Identifier: LGPL-2.1-or-later
"""The network between a tunnel and its gateway. It can fail in several ways while both ends continue to run."""

import re
import socket
import struct
import threading

# Only this program uses ports of this address.
HOST = '127.66.0.1'


class Pair:
    """A connection from the tunnel, and the one to the gateway to which its data is passed on."""

    def __init__(self, path, near, far):
        self.path = path
        self.ends = [end for end in (near, far) if end is not None]
        self.silent = far is None
        self.gone = threading.Event()
        for end in self.ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if far is not None:
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source, sink):
        try:
            while data := source.recv(1 << 18):
                if self.silent:
                    # The data is lost on its way.
                    self.gone.wait()
                    return
                self.path.count(len(data))
                sink.sendall(data)
        except OSError:
            pass
        self.end(abruptly=False)

    def end(self, abruptly):
        if self.gone.is_set():
            return
        self.gone.set()
        self.path.forget(self)
        for end in self.ends:
            try:
                if abruptly:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                # This also wakes the threads that read from the socket.
                end.shutdown(socket.SHUT_RD if abruptly else socket.SHUT_RDWR)
                end.close()
            except OSError:
                pass


class NetworkPath:
    def __init__(self, url):
        self.target = ('127.0.0.1', int(re.search(r':(\d+)/', url)[1]))
        self.lock = threading.RLock()
        self.pairs = set()
        self.attempts = 0
        self.is_silent = False
        self.passed = 0
        self.cuts = 0
        self.cut_every = None
        self.port = 0
        self._listen()
        self.url = f'ws://{HOST}:{self.port}/'

    def _listen(self):
        self.listener = socket.create_server((HOST, self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.attempts += 1
                far = None if self.is_silent else socket.create_connection(self.target)
                self.pairs.add(Pair(self, near, far))

    def forget(self, pair):
        with self.lock:
            self.pairs.discard(pair)

    def count(self, length):
        with self.lock:
            self.passed += length
            due = self.cut_every is not None and self.passed >= self.cut_every
            if due:
                self.passed = 0
        if due:
            self.cut()

    def cut(self):
        """Ends all open connections, every other time with a reset. New connections are accepted."""
        with self.lock:
            self.cuts += 1
            for pair in list(self.pairs):
                pair.end(abruptly=self.cuts % 2 == 0)

    def refuse(self):
        """Resets all open connections and refuses new ones, like a machine on which the service does not run."""
        with self.lock:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            for pair in list(self.pairs):
                pair.end(abruptly=True)

    def silence(self):
        """Discards all data and answers nothing, like a network that has lost its route."""
        with self.lock:
            self.is_silent = True
            for pair in self.pairs:
                pair.silent = True

    def restore(self):
        """Accepts new connections. The silent connections remain unusable."""
        with self.lock:
            for pair in list(self.pairs):
                pair.end(abruptly=True)
            self.is_silent = False
            if self.listener.fileno() < 0:
                self._listen()

    def close(self):
        with self.lock:
            if self.listener.fileno() >= 0:
                self.listener.shutdown(socket.SHUT_RDWR)
                self.listener.close()
            for pair in list(self.pairs):
                pair.end(abruptly=True)
