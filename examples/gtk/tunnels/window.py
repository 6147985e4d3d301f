# SPDX-License-Identifier: LGPL-2.1-or-later
"""The window with the list of tunnels."""

from gi.repository import Adw, Gdk, Gio, GLib, Gtk

from . import keyring, path_to
from .dialogs import ask_for_token, ask_to_end
from .editor import Editor
from .tunnel import Tunnel, shorten
from .tunnel_row import TunnelRow, plural

# How often the counters are read, in milliseconds.
SAMPLE_INTERVAL = 500
# How long an error is shown, in seconds: twice as long as other messages.
TROUBLE_TIMEOUT = 10


@Gtk.Template(filename=path_to("window.ui"))
class Window(Adw.ApplicationWindow):
    __gtype_name__ = "TunnelsWindow"

    toasts = Gtk.Template.Child()
    empty = Gtk.Template.Child()
    list = Gtk.Template.Child()

    def __init__(self, application, store):
        super().__init__(application=application)
        self.store = store
        self.tunnels = Gio.ListStore(item_type=Tunnel)
        self.trouble = None
        self.sampler = 0

        add = Gio.SimpleAction.new("add", None)
        add.connect("activate", lambda *_: self.add())
        self.add_action(add)
        self.set_help_overlay(Gtk.Builder.new_from_file(path_to("shortcuts.ui")).get_object("shortcuts"))

        self.list.bind_model(self.tunnels, lambda tunnel: TunnelRow(tunnel, self.edit, self.remove, self.tell))
        self.tunnels.connect("items-changed", lambda *_: self.empty.set_visible(not len(self.tunnels)))
        try:
            for config in store.load():
                self.insert(config)
        except (GLib.Error, OSError) as error:
            self.warn(f"The list of tunnels cannot be read: {getattr(error, 'message', error)}")
        self.connect("realize", lambda _: self.get_surface().connect("notify::state", self.on_surface_state))
        self.connect("map", lambda _: self.set_sampling(True))
        self.connect("unmap", lambda _: self.set_sampling(False))

    # The list

    def insert(self, config):
        tunnel = Tunnel(config)
        tunnel.connect("trouble", self.on_trouble)
        tunnel.connect("token-wanted", self.on_token_wanted)
        self.tunnels.append(tunnel)

    def save(self):
        try:
            self.store.save([tunnel.config for tunnel in self.tunnels])
        except GLib.Error as error:
            self.warn(f"The list of tunnels cannot be written: {error.message}")

    def keep_token(self, config, token):
        if token is not None:
            keyring.keep(config.id, config.name, token,
                         lambda message: self.warn(f"The token of “{shorten(config.name)}” cannot be kept: {message}"))

    def add(self):
        def saved(config, token):
            self.insert(config)
            self.save()
            self.keep_token(config, token or None)

        Editor(self, None, [tunnel.config for tunnel in self.tunnels], saved).present()

    def edit(self, tunnel):
        def saved(config, token):
            tunnel.configure(config, token)
            self.save()
            self.keep_token(config, token)

        Editor(self, tunnel.config, [other.config for other in self.tunnels if other != tunnel], saved).present()

    def remove(self, tunnel):
        def go():
            found, position = self.tunnels.find(tunnel)
            if found:
                tunnel.stop()
                self.tunnels.remove(position)
                self.save()
                self.keep_token(tunnel.config, "")

        ask_to_end(self, f"Remove “{tunnel.config.name}”?", self.warning([tunnel]), "_Remove", go)

    # Messages and questions

    def tell(self, text):
        toast = Adw.Toast(title=GLib.markup_escape_text(text))
        self.toasts.add_toast(toast)
        return toast

    def warn(self, text):
        """Shows an error in place of the last one; in a queue of errors, the later ones would be shown too late."""
        if self.trouble:
            self.trouble.dismiss()
        self.trouble = self.tell(text)
        self.trouble.set_timeout(TROUBLE_TIMEOUT)
        return self.trouble

    def on_trouble(self, tunnel, text):
        def unfold(_):
            found, position = self.tunnels.find(tunnel)
            if found:
                self.list.get_row_at_index(position).set_expanded(True)

        toast = self.warn(text)
        toast.set_button_label("_Details")
        toast.connect("button-clicked", unfold)

    def warning(self, tunnels):
        connections = sum(tunnel.tcp.get_statistics().open_connections for tunnel in tunnels)
        return f"This ends {plural(connections, 'open connection')}." if connections else ""

    def on_token_wanted(self, tunnel, refused):
        def answered(token):
            tunnel.disconnect(handler)
            tunnel.give_token(token)

        dialog = ask_for_token(self, tunnel.config.name, refused, answered)
        # The tunnel may be stopped meanwhile, or not wait any longer.
        handler = tunnel.connect("notify::running", lambda *_: dialog.close())

    def do_close_request(self):
        warning = self.warning(self.tunnels)
        if warning:
            ask_to_end(self, "Quit?", warning, "_Quit", self.destroy)
            return Gdk.EVENT_STOP
        return Adw.ApplicationWindow.do_close_request(self)

    def stop(self):
        for tunnel in self.tunnels:
            tunnel.stop()

    # The counters are read while the window is visible

    def on_surface_state(self, surface, _):
        # Since 4.12, GTK also reports windows that are covered.
        unseen = Gdk.ToplevelState.MINIMIZED | getattr(Gdk.ToplevelState, "SUSPENDED", 0)
        self.set_sampling(self.get_mapped() and not surface.get_state() & unseen)

    def set_sampling(self, wanted):
        if wanted and not self.sampler:
            self.sampler = GLib.timeout_add(SAMPLE_INTERVAL, self.sample)
        elif not wanted and self.sampler:
            GLib.source_remove(self.sampler)
            self.sampler = 0

    def sample(self):
        for tunnel in self.tunnels:
            tunnel.sample()
        return GLib.SOURCE_CONTINUE
