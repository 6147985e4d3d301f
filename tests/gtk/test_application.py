# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests the application as a user would: on a screen, with a keyboard and a gateway, and with or without a keyring.
"""

import os
import re
import shutil
import socket
import unittest

from case import ADDRESS, MIB, TOKEN, Case, Role, connect, desktop, exchange, is_refused
from desktop import GENEROUS_S, wait_until

from gi.repository import GLib

PORT = 15432


class Life(Case):
    def test_life_of_a_tunnel(self):
        """Without a keyring, a tunnel is added, started, used, stopped and removed."""
        self.start()
        desktop.wait_for_text("^No Tunnels$")
        desktop.press("Add a Tunnel…")
        desktop.wait_for_text("asked for at each start")
        wait_until(lambda: not desktop.find(Role.TEXT, "Token") and desktop.whole, "the end of the field for a token")
        desktop.enter("Name", "<Staging> & more")
        desktop.enter("Address", self.gateway.dup_uri())
        desktop.enter("Listen On", ADDRESS)
        desktop.press("Add")

        desktop.wait_for_text("^Stopped$")
        desktop.wait_until_no_text("^No Tunnels$")
        self.assertEqual(self.read(), [{
            "Name": "<Staging> & more", "Gateway": self.gateway.dup_uri(), "Hostname": ADDRESS, "Port": "0",
            "Mode": "singleton"}])

        self.switch("<Staging> & more")
        self.answer(TOKEN)
        port = self.wait_for_port()
        with connect(port) as client:
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
            desktop.wait_for_text(f"^Connected · {ADDRESS}:{port} · 1 connection$")
        desktop.wait_for_text(r"^Ready · [^·]*$")

        self.switch("<Staging> & more")
        desktop.wait_for_text("^Stopped$")
        self.assertTrue(is_refused(port))

        # The token is asked for again.
        self.switch("<Staging> & more")
        self.answer(TOKEN)
        exchange(self.wait_for_port(), lambda sent: sent == 4 * MIB)

        desktop.activate("unfold", GLib.Variant("i", 0))
        desktop.wait_for_text("^4[.,]2\N{NO-BREAK SPACE}MB in all$")
        desktop.press("Remove…")
        desktop.press("Remove")
        desktop.wait_for_text("^No Tunnels$")
        self.assertEqual(self.read(), [])

        def is_nothing_left():
            desktop.activate("left")
            return desktop.state("left") == 0

        wait_until(is_nothing_left, "the end of the row, and of the dialogs with the token")
        self.end()

    def test_edit(self):
        self.start(One="Port=0\nMode=multiplexed")
        self.switch("One")
        self.answer(TOKEN)
        port = self.wait_for_port()
        desktop.activate("unfold", GLib.Variant("i", 0))
        desktop.press("Edit…")
        desktop.enter("Name", "Two")
        desktop.enter("Port (empty for any that is free)", str(PORT))
        desktop.press("Save")
        # The changed tunnel has to be started again.
        self.answer(TOKEN)
        desktop.wait_for_text(f"^Connected · {ADDRESS}:{PORT}$")
        self.assertNotEqual(port, PORT)
        self.assertTrue(is_refused(port))
        self.assertEqual([(tunnel["Name"], tunnel["Port"], tunnel["Mode"]) for tunnel in self.read()],
                         [("Two", str(PORT), "multiplexed")])
        self.end()

    def test_quit_with_a_connection(self):
        self.start(One="Mode=multiplexed")
        self.switch("One")
        self.answer(TOKEN)
        with connect(self.wait_for_port()):
            desktop.wait_for_text("1 connection")
            desktop.activate("unfold", GLib.Variant("i", 0))
            desktop.wait_for_text(rf"^{re.escape(ADDRESS)}:\d+$")
            desktop.wait_for_text("^↓ 0 bytes  ↑ 0 bytes$")
            desktop.activate("quit")
            desktop.wait_for_text("^This ends 1 open connection.$")
            desktop.press("Cancel")
            desktop.wait_until_no_text("^This ends")
            desktop.activate("quit")
            desktop.press("Quit")
            self.assertEqual(desktop.application.wait(GENEROUS_S), 0)
        self.assertEqual(desktop.forget_application(), "")


class Keyring(Case):
    def test_keyring(self):
        """A token is kept in the keyring, found, changed and removed."""
        keyring = desktop.start_keyring()
        self.addCleanup(desktop.end, keyring)
        self.start()
        desktop.press("Add a Tunnel…")
        desktop.enter("Name", "Kept")
        desktop.enter("Address", self.gateway.dup_uri())
        desktop.enter("Listen On", ADDRESS)
        desktop.enter("Token", TOKEN)
        desktop.press("Add")
        self.switch("Kept")
        self.wait_for_port()
        self.end()

        self.start()
        self.switch("Kept")
        self.wait_for_port()
        self.switch("Kept")
        desktop.wait_for_text("^Stopped$")

        # The token is asked for if the keyring has none.
        desktop.activate("unfold", GLib.Variant("i", 0))
        desktop.press("Edit…")
        field = desktop.wait_for(Role.TEXT, "Token")
        wait_until(lambda: field.get_character_count() == len(TOKEN), "the token, which is not shown")
        desktop.enter("Token", "")
        desktop.press("Save")
        desktop.wait_until_gone(field)
        self.switch("Kept")
        self.answer(TOKEN)
        self.wait_for_port()
        self.end()


class Trouble(Case):
    def test_refused_token(self):
        self.start(One="Mode=multiplexed")
        self.switch("One")
        self.answer("not-the-one")
        desktop.wait_for_text("refused")
        self.answer(TOKEN)
        self.wait_for_port()
        self.switch("One")
        desktop.wait_for_text("^Stopped$")

        self.switch("One")
        self.answer("not-the-one")
        desktop.wait_for_text("refused")
        desktop.press("Cancel")
        desktop.wait_for_text("^Stopped$")
        self.end()

    def test_port_in_use(self):
        with socket.create_server((ADDRESS, PORT)):
            self.start(One=f"Port={PORT}")
            self.switch("One")
            self.answer(TOKEN)
            desktop.wait_for_text("^“One” failed$")
            desktop.wait_for_text(f"^Failed: Cannot listen on {ADDRESS} port {PORT}: ")
            desktop.press("Details")
            desktop.wait_for_text("^Programs connect here$")
        self.end()

    def test_long_name(self):
        """The error is visible although the name is long."""
        with socket.create_server((ADDRESS, PORT)):
            self.start(**{"The database of the department for statistics": f"Port={PORT}"})
            self.switch("The database of the department for statistics")
            self.answer(TOKEN)
            desktop.wait_for_text("^“The database of the dep…” failed$")
            desktop.wait_for_text("^Failed: Cannot listen on ")
        self.end()

    def test_close_connection(self):
        self.start(One="Mode=multiplexed")
        self.switch("One")
        self.answer(TOKEN)
        with connect(self.wait_for_port()) as client:
            desktop.activate("unfold", GLib.Variant("i", 0))
            desktop.press("Close the connection")
            self.assertRaises(ConnectionResetError, client.recv, 1)
        desktop.wait_until_no_text(" 1 connection$")
        self.end()

    def test_target_gone(self):
        self.echo.shutdown()
        self.echo.server_close()
        self.start(One="")
        self.switch("One")
        self.answer(TOKEN)
        with connect(self.wait_for_port()) as client:
            client.sendall(b"hello")
            desktop.wait_for_text("^A connection of “One” broke$")
        desktop.wait_for_text("^Ready ")
        self.end()

    def test_unreadable_file(self):
        os.makedirs(os.path.dirname(self.config))
        with open(self.config, "w") as file:
            file.write("no key file\n")
        self.start()
        desktop.wait_for_text("^The list of tunnels cannot be read")
        desktop.wait_for_text("^No Tunnels$")
        self.assertTrue(os.path.exists(self.config + ".unreadable"))
        self.end()

    def test_unwritable_file(self):
        self.start(One="")
        directory = os.path.dirname(self.config)
        shutil.rmtree(directory)
        open(directory, "w").close()
        self.addCleanup(os.unlink, directory)
        desktop.activate("unfold", GLib.Variant("i", 0))
        desktop.press("Remove…")
        desktop.press("Remove")
        desktop.wait_for_text("^The list of tunnels cannot be written: ")
        self.end()


class Validation(Case):
    def check(self, field, text, message):
        desktop.enter(field, text)
        desktop.wait_for_text(message)
        # The message is also available to people who cannot see it.
        wait_until(lambda: re.search(message, desktop.wait_for(Role.TEXT, field).get_description()),
                   "the description of the field")

    def test_validation(self):
        self.start(Other="Port=5432")
        desktop.press("Add a tunnel")
        desktop.press("Add")
        desktop.wait_for_text("^Enter a name.$")
        desktop.wait_for_text("^Enter the address of the gateway")
        desktop.enter("Listen On", "")
        desktop.enter("Port (empty for any that is free)", "many")
        desktop.wait_for_text("^Enter a number up to 65535")
        desktop.activate("folded")
        self.assertFalse(desktop.state("folded"), "something is below the fold")

        for address, message in (
                ("http://127.0.0.1/", "begin with wss:// or ws://"),
                ("what is this", "not an address"),
                ("ws://user:password@127.0.0.1/", "Leave out user and password"),
                ("ws:///path", "names no host")):
            self.check("Address", address, message)
        desktop.enter("Address", self.gateway.dup_uri())
        desktop.wait_until_no_text("names no host")
        self.check("Name", "other", "^Another tunnel has this name.$")
        self.check("Listen On", "there", "^Enter an address of this computer")
        for port, message in ("many", "^Enter a number up to 65535"), ("65536", "^Enter a number up to 65535"):
            self.check("Port (empty for any that is free)", port, message)
        desktop.enter("Listen On", ADDRESS)
        self.check("Port (empty for any that is free)", "5432", "^“Other” has this port.$")
        self.assertEqual(len(self.read()), 1)

        desktop.enter("Port (empty for any that is free)", "5433")
        desktop.enter("Name", "Another")
        desktop.wait_until_no_text("Another tunnel has this name|has this port")
        desktop.press("Add")
        wait_until(lambda: len(self.read()) == 2, "the key file")
        self.assertEqual(self.read()[1]["Name"], "Another")
        self.end()


class Keyboard(Case):
    def expect(self, role, name):
        # GTK reports the role of the button itself since 4.18.
        roles = [Role.PUSH_BUTTON, Role.TOGGLE_BUTTON] if name == "Main menu" else [role]
        wait_until(lambda: desktop.focused() in [(role, name) for role in roles],
                   f"the focus on the {role.value_nick} “{name}”")

    def test_keyboard(self):
        self.start(One="", Two="")
        self.expect(Role.PUSH_BUTTON, "Add a tunnel")
        for role, name in ((Role.PUSH_BUTTON, "Main menu"), (Role.LIST_ITEM, "One"), (Role.CHECK_BOX, "One"),
                           (Role.LIST_ITEM, "Two"), (Role.CHECK_BOX, "Two")):
            desktop.type("Tab")
            self.expect(role, name)
        desktop.type("space")
        desktop.wait_for_text("^Token of “Two”$")
        desktop.type("x")
        wait_until(lambda: desktop.wait_for(Role.TEXT, "Token").get_character_count() == 1, "what was typed")
        desktop.type("Escape")
        self.expect(Role.CHECK_BOX, "Two")

        desktop.type("F2")
        desktop.wait_for(Role.DIALOG, "Edit Tunnel")
        desktop.type("x")
        desktop.wait_for_content("Name", "x")
        desktop.type("Escape")
        self.expect(Role.CHECK_BOX, "Two")

        desktop.type("Delete")
        desktop.wait_for_text("^Remove “Two”\\?$")
        desktop.type("r", "Alt")
        wait_until(lambda: len(self.read()) == 1, "the removal")
        self.expect(Role.PUSH_BUTTON, "Add a tunnel")

        # The keys move the focus from field to field, by a mnemonic, and to the first field that is wrong.
        desktop.type("n", "Control")
        desktop.wait_for(Role.DIALOG, "Add Tunnel")
        desktop.type("x")
        desktop.type("Tab")
        desktop.type("y")
        desktop.wait_for_content("Address", "y")
        desktop.type("p", "Alt")
        desktop.type("5")
        desktop.wait_for_content("Port (empty for any that is free)", "5")
        desktop.type("Return")
        desktop.wait_for_text("^This is not an address")
        desktop.type("z")
        desktop.wait_for_content("Address", "z")
        desktop.enter("Address", "ws://h")
        desktop.type("Return")
        wait_until(lambda: len(self.read()) == 2, "what was typed")
        self.assertEqual([self.read()[1][key] for key in ("Name", "Gateway", "Port")], ["x", "ws://h", "5"])
        self.end()


class Look(Case):
    def wait_for_widths(self, *widths):
        def are_so():
            desktop.activate("sizes")
            return sorted(desktop.state("sizes")) == sorted(widths)

        wait_until(are_so, f"windows of the widths {widths}")

    def test_narrow(self):
        """The whole window fits on a phone."""
        self.start(**{"A tunnel with a long name": "Port=5432"})
        desktop.activate("unfold", GLib.Variant("i", 0))
        self.wait_for_widths(640)
        desktop.activate("resize", GLib.Variant("(ii)", (360, 600)))
        self.wait_for_widths(360)
        desktop.press("Edit…")
        self.wait_for_widths(360, 480)
        desktop.activate("resize", GLib.Variant("(ii)", (360, 600)))
        self.wait_for_widths(360, 360)
        self.end()

    def test_dark(self):
        def brightness():
            picture = desktop.picture()
            return picture.get_data()[600 * picture.get_stride() + 4 * 512]

        self.start(One="")
        desktop.activate("dark", GLib.Variant("b", False))
        wait_until(lambda: brightness() > 0xe0, "the light window")
        desktop.activate("dark", GLib.Variant("b", True))
        wait_until(lambda: 0 < brightness() < 0x40, "the dark window")
        self.end()


if __name__ == "__main__":
    unittest.main(verbosity=2)
