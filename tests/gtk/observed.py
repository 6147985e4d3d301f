# SPDX-License-Identifier: LGPL-2.1-or-later
"""The application, with additional actions on the session bus by which a test measures it and changes its windows."""

import gc
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../examples/gtk"))

from tunnels.application import Application
from tunnels.editor import Editor
from tunnels.tunnel_row import TunnelRow
from gi.repository import Adw, Gio, GLib, Gtk


class Frames:
    """Counts the frames of a window, and finds the longest time between two of them."""

    def __init__(self, window):
        self.count, self.longest, self.last = 0, 0, GLib.get_monotonic_time()
        window.add_tick_callback(self.on_tick)

    def on_tick(self, _, __):
        # The time of the frame clock cannot be used: after a pause it is the time at which the frame was due.
        now = GLib.get_monotonic_time()
        self.count, self.longest, self.last = self.count + 1, max(self.longest, now - self.last), now
        return GLib.SOURCE_CONTINUE


class Observed(Application):
    def do_activate(self):
        Application.do_activate(self)
        self.frames = None
        self.add("measure", self.measure)
        self.add("measured", self.measured, state=GLib.Variant("(uxu)", (0, 0, 0)))
        self.add("sizes", self.sizes, state=GLib.Variant("au", ()))
        self.add("left", self.left, state=GLib.Variant("u", 0))
        self.add("keyboard", self.keyboard, state=GLib.Variant("b", False))
        self.add("allocated", self.allocated, state=GLib.Variant("b", False))
        self.add("folded", self.folded, state=GLib.Variant("b", False))
        self.add("dark", self.dark, "b")
        self.add("resize", self.resize, "(ii)")
        self.add("unfold", self.unfold, "i")
        self.add("bare", lambda _: self.window.remove_css_class("solid-csd"))
        self.add("hide", lambda _: self.window.set_visible(False))

    def add(self, name, activate, type=None, state=None):
        action = Gio.SimpleAction.new(name, type and GLib.VariantType(type))
        if state is not None:
            action = Gio.SimpleAction.new_stateful(name, None, state)
        action.connect("activate", lambda _, argument: activate(None if argument is None else argument.unpack()))
        self.add_action(action)

    def measure(self, _):
        self.frames = Frames(self.window)

    def measured(self, _):
        self.change_action_state("measured", GLib.Variant(
            "(uxu)", (self.frames.count, self.frames.longest, len(self.window.tunnels[0].rates))))

    def dark(self, dark):
        scheme = Adw.ColorScheme.FORCE_DARK if dark else Adw.ColorScheme.FORCE_LIGHT
        Adw.StyleManager.get_default().set_color_scheme(scheme)

    def windows(self):
        return [window for window in Gtk.Window.list_toplevels() if window.get_mapped()]

    def resize(self, size):
        for window in self.windows():
            window.set_default_size(*size)

    def sizes(self, _):
        """The widths of the windows."""
        widths = [window.get_surface().get_width() for window in self.windows()]
        self.change_action_state("sizes", GLib.Variant("au", widths))

    def allocated(self, _):
        """Whether all windows have their sizes. Before that, a button may not be realized, and ignore a press."""
        self.change_action_state("allocated", GLib.Variant("b", all(window.get_width() > 0 for window in self.windows())))

    def folded(self, _):
        """Whether a part of the editor's content is scrolled out of view."""
        [editor] = [window for window in self.windows() if isinstance(window, Editor)]
        scrolled = editor.name.get_ancestor(Gtk.ScrolledWindow)
        adjustment = scrolled.get_vadjustment()
        self.change_action_state("folded", GLib.Variant("b", adjustment.get_upper() > adjustment.get_page_size()))

    def left(self, _):
        """The number of temporary objects that exist, including those that are not visible any more."""
        gc.collect()
        left = [item for item in gc.get_objects() if isinstance(item, (Editor, Adw.MessageDialog, TunnelRow))]
        self.change_action_state("left", GLib.Variant("u", len(left)))

    def keyboard(self, _):
        """Whether the window above all others is active, so that keys that are pressed now go to it."""
        windows = self.windows()
        below = [window.get_transient_for() for window in windows]
        self.change_action_state("keyboard", GLib.Variant("b", any(
            window.is_active() and window not in below for window in windows)))

    def unfold(self, index):
        self.window.list.get_row_at_index(index).set_expanded(True)


if __name__ == "__main__":
    sys.exit(Observed().run(sys.argv))
