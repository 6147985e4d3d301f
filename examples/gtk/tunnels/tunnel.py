# SPDX-License-Identifier: LGPL-2.1-or-later
"""A tunnel that can be started and stopped."""

from collections import deque
from typing import NamedTuple

from gi.repository import Gio, GLib, GObject, TcpTunnel

from . import keyring

# How long rates are kept, in microseconds: a minute, and what the graph needs beyond both ends.
MEMORY = 63_000_000

# A message shows this many characters of a name.
MAX_NAME = 24

STATES = {
    TcpTunnel.TunnelState.DISCONNECTED: ("Ready", "accent"),
    TcpTunnel.TunnelState.CONNECTING: ("Connecting…", "warning"),
    TcpTunnel.TunnelState.CONNECTED: ("Connected", "success"),
    TcpTunnel.TunnelState.RECONNECTING: ("Reconnecting…", "warning"),
}

# A connection that the local program breaks is not a problem of the tunnel.
SILENT_ERRORS = (TcpTunnel.TunnelError.RESET, TcpTunnel.TunnelError.CLOSED)


def shorten(name):
    """Shortens a name, so that a message has room for the rest."""
    return name if len(name) <= MAX_NAME else name[:MAX_NAME - 1].rstrip() + "…"


class Rate(NamedTuple):
    """Bytes per second, in the interval that ended at this time."""

    time: int
    received: float
    sent: float


class Tunnel(GObject.Object):
    """The configuration of a tunnel, the tunnel of the library, and its rates in the last minute.

    `running` is whether the user wants the tunnel to run. It becomes false when the tunnel ends by itself.
    """

    __gtype_name__ = "TunnelsTunnel"
    __gsignals__ = {
        "changed": (GObject.SignalFlags.RUN_LAST, None, ()),
        "sampled": (GObject.SignalFlags.RUN_LAST, None, ()),
        # What happened, in a short sentence; the property problem has the reason.
        "trouble": (GObject.SignalFlags.RUN_LAST, None, (str,)),
        # The handler calls give_token(). The argument is whether the gateway refused the last token.
        "token-wanted": (GObject.SignalFlags.RUN_LAST, None, (bool,)),
    }

    running = GObject.Property(type=bool, default=False)

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.problem = ""
        self.failed = False
        self.rates = deque()
        self.cancellable = None
        self.handed_over = False
        self.token_is_kept = False
        self.tcp = TcpTunnel.Tunnel()
        self.counted = GLib.get_monotonic_time(), 0, 0
        for property in "state", "active":
            self.tcp.connect("notify::" + property, lambda *_: self.emit("changed"))
        self.tcp.connect("connection-closed", self.on_connection_closed)
        self.tcp.connect("token-required", lambda _: self.emit("token-wanted", True))
        self.tcp.connect("failed", lambda _, error: self.end(error.message))

    @property
    def address(self):
        """The address at which the tunnel listens, or would listen."""
        address = self.tcp.get_local_address()
        if address:
            return address.to_string()
        hostname = f"[{self.config.hostname}]" if ":" in self.config.hostname else self.config.hostname
        return f"{hostname}:{self.config.port}" if self.config.port else f"{hostname}, any port that is free"

    @property
    def state(self):
        """The state in one word, and the style class for it."""
        if self.tcp.get_active() or self.tcp.get_state() != TcpTunnel.TunnelState.DISCONNECTED:
            return STATES[self.tcp.get_state()]
        if self.running:
            return "Starting…", "warning"
        return ("Failed", "error") if self.failed else ("Stopped", "dim-label")

    def configure(self, config, token):
        """Sets another configuration and, if it is not None, another token. A running tunnel continues with them."""
        restart = self.running and (token is not None or not config.connects_like(self.config))
        if restart:
            self.stop()
        self.config = config
        if restart:
            self.start(token)
        self.emit("changed")

    def start(self, token=None):
        """Starts with this token, or with the one from the keyring, or asks for one."""
        if self.running:
            return
        self.running = True
        self.problem = ""
        self.failed = False
        self.handed_over = False
        self.cancellable = cancellable = Gio.Cancellable()

        def on_token(token, _):
            if cancellable.is_cancelled():
                return
            self.token_is_kept = bool(token)
            if token:
                self.give_token(token)
            else:
                self.emit("token-wanted", False)

        if token is None:
            keyring.look_up(self.config.id, on_token)
        else:
            on_token(token, True)
        self.emit("changed")

    def stop(self):
        if not self.running:
            return
        self.cancellable.cancel()
        self.tcp.close()
        self.running = False
        self.emit("changed")

    def end(self, message):
        self.stop()
        self.failed = True
        self.tell("“{}” failed", message)

    def tell(self, what, why):
        self.problem = why[:1].upper() + why[1:]
        self.emit("trouble", what.format(shorten(self.config.name)))
        self.emit("changed")

    def give_token(self, token):
        """Continues with this token, or stops if there is none."""
        if not self.running:
            return
        if not token:
            self.stop()
            return
        self.tcp.set_token(token)
        if self.handed_over:
            if self.token_is_kept:
                keyring.keep(self.config.id, self.config.name, token,
                             lambda message: self.tell("The token of “{}” cannot be kept", message))
            return

        self.handed_over = True
        self.tcp.set_properties(remote_uri=self.config.gateway, hostname=self.config.hostname, port=self.config.port,
                                mode=getattr(TcpTunnel.TunnelMode, self.config.mode.upper()))
        # A start that was cancelled may end after the next one has begun.
        self.tcp.start_async(self.cancellable, self.on_started, self.cancellable)

    def on_started(self, tcp, result, cancellable):
        try:
            tcp.start_finish(result)
        except GLib.Error as error:
            if not cancellable.is_cancelled():
                self.end(error.message)

    def on_connection_closed(self, _, connection):
        error = connection.dup_error()
        if error and not any(error.matches(TcpTunnel.tunnel_error_quark(), code) for code in SILENT_ERRORS):
            self.tell("A connection of “{}” broke", error.message)

    def sample(self):
        """Reads the counters, which does not block."""
        now, statistics = GLib.get_monotonic_time(), self.tcp.get_statistics()
        received, sent = statistics.bytes_received, statistics.bytes_sent
        before, received_before, sent_before = self.counted
        self.counted = now, received, sent
        if now <= before:
            return
        seconds = (now - before) / 1e6
        self.rates.append(Rate(now, (received - received_before) / seconds, (sent - sent_before) / seconds))
        while self.rates[0].time < now - MEMORY:
            self.rates.popleft()
        self.emit("sampled")
