# SPDX-License-Identifier: LGPL-2.1-or-later
"""The application: its window, its actions and its style."""

from gi.repository import Adw, Gdk, Gio, GLib, Gtk, TcpTunnel

from . import APPLICATION_ID, path_to
from .store import Store
from .window import Window

ACCELERATORS = {
    "win.add": ["<Control>n"],
    "win.show-help-overlay": ["<Control>question"],
    "window.close": ["<Control>w"],
    "app.quit": ["<Control>q"],
}
VERSION = ".".join(map(str, (TcpTunnel.TUNNEL_MAJOR_VERSION, TcpTunnel.TUNNEL_MINOR_VERSION,
                             TcpTunnel.TUNNEL_MICRO_VERSION)))


class Application(Adw.Application):
    def __init__(self, **properties):
        super().__init__(application_id=APPLICATION_ID, **properties)
        self.window = None
        GLib.set_prgname(APPLICATION_ID)
        GLib.set_application_name("Tunnels")

    def do_startup(self):
        Adw.Application.do_startup(self)
        for name, activate in (("about", self.about), ("quit", self.leave)):
            action = Gio.SimpleAction.new(name, None)
            action.connect("activate", lambda *_, activate=activate: activate())
            self.add_action(action)
        for action, keys in ACCELERATORS.items():
            self.set_accels_for_action(action, keys)

        display = Gdk.Display.get_default()
        style = Gtk.CssProvider()
        style.load_from_path(path_to("style.css"))
        Gtk.StyleContext.add_provider_for_display(display, style, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION)
        # The icons are here if the application is not installed.
        Gtk.IconTheme.get_for_display(display).add_search_path(path_to("../data/icons"))
        Gtk.Window.set_default_icon_name(APPLICATION_ID)

    def do_activate(self):
        if not self.window:
            self.window = Window(self, Store())
        self.window.present()

    def do_shutdown(self):
        if self.window:
            self.window.stop()
        Adw.Application.do_shutdown(self)

    def leave(self):
        if self.window:
            self.window.close()

    def about(self):
        Adw.AboutWindow(
            transient_for=self.window,
            application_name="Tunnels",
            application_icon=APPLICATION_ID,
            version=VERSION,
            developer_name="The libtcptunnel project",
            comments="TCP connections to services behind a gateway, through an authenticated WebSocket.",
            license_type=Gtk.License.LGPL_2_1,
        ).present()
