# SPDX-License-Identifier: LGPL-2.1-or-later
"""One tunnel in the list: a switch and its state, and the details if the row is expanded."""

from gi.repository import Adw, Gdk, Gio, GLib, GObject, Gtk, Pango

from . import path_to
# The template contains a Graph and Connections.
from .connections import Connections
from .graph import Graph, format_rate

SHORTCUTS = {"F2": "tunnel.edit", "Delete": "tunnel.remove", "<Control>c": "tunnel.copy"}
MODES = {"singleton": "One connection at a time", "multiplexed": "Many connections at once"}


def plural(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Figure(Gtk.Box):
    """A number, with its name above it and more details below."""

    def __init__(self, title, style=None):
        super().__init__(orientation=Gtk.Orientation.VERTICAL, width_request=100)
        self.labels = [Gtk.Label(xalign=0, ellipsize=Pango.EllipsizeMode.END, label=label) for label in (title, "", "")]
        for label, classes in zip(self.labels, (("caption-heading", style or "dim-label"), ("numeric",),
                                                ("caption", "dim-label", "numeric"))):
            label.set_css_classes(classes)
            self.append(label)

    def update(self, value, more):
        self.labels[1].set_label(value)
        self.labels[2].set_label(more)


@Gtk.Template(filename=path_to("tunnel_row.ui"))
class TunnelRow(Adw.ExpanderRow):
    __gtype_name__ = "TunnelsRow"

    icon = Gtk.Template.Child()
    switch = Gtk.Template.Child()
    problem_row = Gtk.Template.Child()
    problem = Gtk.Template.Child()
    graph = Gtk.Template.Child()
    figures = Gtk.Template.Child()
    connections_row = Gtk.Template.Child()
    connections_list = Gtk.Template.Child()
    address_row = Gtk.Template.Child()
    gateway_row = Gtk.Template.Child()

    def __init__(self, tunnel, edit, remove, tell):
        super().__init__()
        self.tunnel = tunnel
        self.tell = tell
        self.received = self.add_figure("↓ Received", "received")
        self.sent = self.add_figure("↑ Sent", "sent")
        self.connections = self.add_figure("Connections")
        self.round_trip = self.add_figure("Round trip")

        actions = Gio.SimpleActionGroup()
        for name, activate in (("edit", edit), ("remove", remove), ("copy", self.copy)):
            action = Gio.SimpleAction.new(name, None)
            action.connect("activate", lambda *_, activate=activate: activate(tunnel))
            actions.add_action(action)
        self.copy_action = actions.lookup_action("copy")
        self.insert_action_group("tunnel", actions)
        keys = Gtk.ShortcutController()
        for key, action in SHORTCUTS.items():
            keys.add_shortcut(Gtk.Shortcut.new(Gtk.ShortcutTrigger.parse_string(key), Gtk.NamedAction.new(action)))
        self.add_controller(keys)

        tunnel.bind_property("running", self.switch, "active", GObject.BindingFlags.SYNC_CREATE)
        self.switched = self.switch.connect("notify::active", self.on_switched)
        self.connect("notify::expanded", lambda *_: self.count())
        tunnel.connect("changed", lambda _: self.refresh())
        tunnel.connect("sampled", lambda _: self.count())
        self.connections_list.follow(tunnel.tcp.get_connections())
        self.refresh()

    def do_unroot(self):
        # The row is removed. These handlers are the last references to it, which Python cannot see.
        self.switch.disconnect(self.switched)
        self.insert_action_group("tunnel", None)
        Adw.ExpanderRow.do_unroot(self)

    def add_figure(self, title, style=None):
        figure = Figure(title, style)
        self.figures.append(Gtk.FlowBoxChild(child=figure, focusable=False))
        return figure

    def on_switched(self, switch, _):
        if switch.get_active():
            self.tunnel.start()
        else:
            self.tunnel.stop()

    def copy(self, tunnel):
        self.get_clipboard().set_content(Gdk.ContentProvider.new_for_value(tunnel.address))
        self.tell("Address copied")

    def refresh(self):
        """Shows the configuration and the state."""
        tunnel = self.tunnel
        self.set_title(tunnel.config.name)
        self.icon.set_css_classes([tunnel.state[1]])
        self.switch.update_property([Gtk.AccessibleProperty.LABEL], [tunnel.config.name])
        # The reason for a failure is shown below the name.
        self.problem.set_label(tunnel.problem)
        self.problem_row.set_visible(bool(tunnel.problem) and not tunnel.failed)
        self.address_row.set_title(tunnel.address)
        self.gateway_row.set_title(tunnel.config.gateway)
        self.gateway_row.set_subtitle(MODES[tunnel.config.mode])
        self.copy_action.set_enabled(bool(tunnel.config.port or tunnel.tcp.get_active()))
        self.count()

    def count(self):
        """Shows the counters."""
        tunnel = self.tunnel
        statistics = tunnel.tcp.get_statistics()
        connections = statistics.open_connections
        state = f"Failed: {tunnel.problem}" if tunnel.failed else tunnel.state[0]
        self.set_subtitle(" · ".join(filter(None, (
            state, tunnel.running and tunnel.address, connections and plural(connections, "connection")))))
        self.connections_row.set_visible(connections > 0)
        if not self.get_expanded():
            return

        rate = tunnel.rates[-1] if tunnel.rates else None
        self.received.update(format_rate(rate.received if rate else 0),
                             GLib.format_size(statistics.bytes_received) + " in all")
        self.sent.update(format_rate(rate.sent if rate else 0), GLib.format_size(statistics.bytes_sent) + " in all")
        self.connections.update(f"{connections} open", f"{statistics.total_connections} in all")
        round_trip = statistics.round_trip
        self.round_trip.update(f"{round_trip:.1f} ms" if round_trip >= 0 else "–",
                               plural(statistics.reconnects, "reconnect"))
        self.connections_list.count()
        self.graph.update(tunnel.rates)
