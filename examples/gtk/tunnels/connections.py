# SPDX-License-Identifier: LGPL-2.1-or-later
"""The open connections of a tunnel, as the library lists them."""

from gi.repository import GLib, Gtk, Pango


LINE_HEIGHT = 38
MAX_LINES = 4


class Line(Gtk.Box):
    """One connection: its client, its byte counts, and a button to close it."""

    def __init__(self):
        super().__init__(spacing=12, margin_start=12)
        self.connection = None
        self.client = Gtk.Label(xalign=0, hexpand=True, ellipsize=Pango.EllipsizeMode.END)
        self.bytes = Gtk.Label(css_classes=["dim-label", "numeric"])
        close = Gtk.Button(icon_name="window-close-symbolic", tooltip_text="Close the connection", css_classes=["flat"])
        close.update_property([Gtk.AccessibleProperty.LABEL], ["Close the connection"])
        close.connect("clicked", Line.on_close)
        for widget in self.client, self.bytes, close:
            self.append(widget)

    @staticmethod
    def on_close(button):
        button.get_parent().connection.close()

    def present(self, connection):
        self.connection = connection
        self.client.set_label(connection.get_client_address().to_string())
        self.count()

    def count(self):
        props = self.connection.props
        self.bytes.set_label(f"↓ {GLib.format_size(props.bytes_received)}  ↑ {GLib.format_size(props.bytes_sent)}")


class Connections(Gtk.ScrolledWindow):
    """The list has widgets only for the visible connections, however many there are."""

    __gtype_name__ = "TunnelsConnections"

    def __init__(self):
        super().__init__(hscrollbar_policy=Gtk.PolicyType.NEVER)
        self.lines = set()
        factory = Gtk.SignalListItemFactory()
        factory.connect("setup", lambda _, item: item.set_child(Line()))
        factory.connect("bind", Connections.bind, self.lines)
        factory.connect("unbind", Connections.unbind, self.lines)
        self.list = Gtk.ListView(factory=factory)
        self.list.update_property([Gtk.AccessibleProperty.LABEL], ["Connections"])
        self.set_child(self.list)

    @staticmethod
    def bind(_, item, lines):
        item.get_child().present(item.get_item())
        lines.add(item.get_child())

    @staticmethod
    def unbind(_, item, lines):
        lines.discard(item.get_child())

    def follow(self, model):
        self.list.set_model(Gtk.NoSelection(model=model))

    def count(self):
        """Shows the current counts, and makes room for the first few connections."""
        model = self.list.get_model()
        self.set_min_content_height(LINE_HEIGHT * min(model.get_n_items(), MAX_LINES))
        for line in self.lines:
            line.count()
