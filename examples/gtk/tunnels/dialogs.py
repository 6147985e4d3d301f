# SPDX-License-Identifier: LGPL-2.1-or-later
"""The dialogs that ask the user something."""

from gi.repository import Adw, Gtk


def ask(parent, heading, body, answer, appearance, done):
    """Asks whether to continue with something, and calls done with the answer."""
    dialog = Adw.MessageDialog(transient_for=parent, modal=True, heading=heading, body=body)
    dialog.add_response("cancel", "_Cancel")
    dialog.add_response("go", answer)
    dialog.set_response_appearance("go", appearance)
    dialog.set_default_response("go")
    dialog.set_close_response("cancel")
    dialog.connect("response", lambda _, response: done(response == "go"))
    return dialog


def ask_to_end(parent, heading, body, answer, go):
    """Asks before something is deleted."""
    dialog = ask(parent, heading, body, answer, Adw.ResponseAppearance.DESTRUCTIVE, lambda wanted: wanted and go())
    dialog.set_default_response("cancel")
    dialog.present()


def ask_for_token(parent, name, refused, done):
    """Asks for the token of a tunnel, and calls done with it, or with an empty string if the user cancels."""
    entry = Adw.PasswordEntryRow(title="_Token", use_underline=True, activates_default=True)
    entries = Gtk.ListBox(selection_mode=Gtk.SelectionMode.NONE)
    entries.add_css_class("boxed-list")
    entries.append(entry)
    dialog = ask(parent, f"Token of “{name}”",
                 "The gateway refused the last one." if refused else "The gateway wants one, and none is kept.",
                 "_Start", Adw.ResponseAppearance.SUGGESTED,
                 lambda wanted: done(entry.get_text().strip() if wanted else ""))
    dialog.set_extra_child(entries)
    dialog.set_response_enabled("go", False)
    # If this closure held a reference to the dialog, then the dialog would never be freed, nor the token in it.
    entry.connect("changed", lambda entry: entry.get_root().set_response_enabled("go", bool(entry.get_text().strip())))
    dialog.present()
    entry.grab_focus()
    return dialog
