# SPDX-License-Identifier: LGPL-2.1-or-later
"""The window that adds a tunnel or edits one."""

from dataclasses import replace

from gi.repository import Adw, Gtk

from . import keyring, path_to
from .store import MODES, Config, check_gateway, check_hostname, check_name, check_port, check_token


class Message(Gtk.ListBoxRow):
    """The message about an error in the field above it."""

    def __init__(self, field):
        super().__init__(activatable=False, focusable=False, visible=False)
        self.field = field
        self.label = Gtk.Label(xalign=0, wrap=True, margin_start=12, margin_end=12, margin_bottom=9)
        self.label.set_css_classes(["caption", "error"])
        self.set_child(self.label)
        field.get_parent().insert(self, field.get_index() + 1)

    def update(self, text):
        self.label.set_label(text)
        self.set_visible(bool(text))
        if text:
            self.field.add_css_class("error")
        else:
            self.field.remove_css_class("error")
        # The message is also the description of the field, for users who cannot see it below. The text field is the
        # row itself in GTK 4.8, and inside the row in GTK 4.18.
        for accessible in self.field, self.field.get_delegate():
            accessible.update_property([Gtk.AccessibleProperty.DESCRIPTION], [text])


@Gtk.Template(filename=path_to("editor.ui"))
class Editor(Adw.Window):
    __gtype_name__ = "TunnelsEditor"

    name = Gtk.Template.Child()
    gateway = Gtk.Template.Child()
    token = Gtk.Template.Child()
    hostname = Gtk.Template.Child()
    port = Gtk.Template.Child()
    mode = Gtk.Template.Child()
    gateway_group = Gtk.Template.Child()
    save_button = Gtk.Template.Child()

    def __init__(self, parent, config, others, saved):
        """Edits a configuration, or a new one if it is None. Calls saved with it and the token, which is None if it
        has not been changed."""
        super().__init__(transient_for=parent, title="Edit Tunnel" if config else "Add Tunnel")
        self.config = config or Config(name="", gateway="")
        self.saved = saved
        self.kept_token = ""
        self.tried = False
        if not config:
            self.save_button.set_label("_Add")
        self.gateway.get_delegate().set_placeholder_text("wss://example.com/instance")
        self.name.set_text(self.config.name)
        self.gateway.set_text(self.config.gateway)
        self.hostname.set_text(self.config.hostname)
        self.port.set_text(str(self.config.port or ""))
        self.mode.set_selected(MODES.index(self.config.mode))

        self.checks = {
            self.name: lambda text: check_name(text, others),
            self.gateway: check_gateway,
            self.token: check_token,
            self.hostname: check_hostname,
            self.port: lambda text: check_port(text, self.text_of(self.hostname), others),
        }
        self.messages = {field: Message(field) for field in self.checks}
        self.handlers = [(field, field.connect("changed", lambda _: self.tried and self.check())) for field in self.checks]
        self.handlers.append((self.save_button, self.save_button.connect("clicked", lambda _: self.save())))
        keyring.look_up(self.config.id, self.on_token)
        self.name.grab_focus()

    def on_token(self, token, there_is_a_keyring):
        if not there_is_a_keyring:
            self.token.set_visible(False)
            self.gateway_group.set_description("No keyring is there to keep the token: it is asked for at each start.")
        elif token and not self.token.get_text():
            self.kept_token = token
            self.token.set_text(token)

    def text_of(self, field):
        return field.get_text().strip()

    def check(self):
        """Shows the errors, and returns the first field that has one."""
        wrong = []
        for field, check in self.checks.items():
            problem = check(self.text_of(field))
            self.messages[field].update(problem)
            if problem:
                wrong.append(field)
        return wrong[0] if wrong else None

    def do_close_request(self):
        # These handlers are the last references to the window, which Python cannot see.
        for widget, handler in self.handlers:
            widget.disconnect(handler)
        return Adw.Window.do_close_request(self)

    def save(self):
        self.tried = True
        wrong = self.check()
        if wrong:
            wrong.grab_focus()
            return
        token = self.text_of(self.token)
        self.saved(replace(self.config, name=self.text_of(self.name), gateway=self.text_of(self.gateway),
                           hostname=self.text_of(self.hostname), port=int(self.text_of(self.port) or 0),
                           mode=MODES[self.mode.get_selected()]),
                   token if token != self.kept_token else None)
        self.close()
