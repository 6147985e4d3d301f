# SPDX-License-Identifier: LGPL-2.1-or-later
"""A desktop for the tests alone: an X server, a session bus with the accessibility bus, and empty directories."""

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from needs import need

A11Y_SERVICE = "/usr/share/dbus-1/services/org.a11y.Bus.service"
need(["Xvfb", "openbox", "dbus-daemon", "gnome-keyring-daemon"], [A11Y_SERVICE],
     Atspi="2.0", Gdk="4.0", Gtk="4.0", Adw="1", Secret="1", TcpTunnel="1")

import cairo
from gi.repository import Atspi, Gdk, Gio, GLib

GENEROUS_S = 60
APPLICATION_ID = "io.github.libtcptunnel.Tunnels"
APPLICATION_PATH = "/io/github/libtcptunnel/Tunnels"
# Their keycodes, which are the same on every PC keyboard.
MODIFIERS = {"Control": 37, "Alt": 64}
HERE = os.path.dirname(os.path.realpath(__file__))


# The bus can only activate what accessibility needs, and in particular not the keyring of this computer.
BUS = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir={0}</listen>
  <servicedir>{0}/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def wait_until(condition, what, timeout=GENEROUS_S):
    """Runs the main context, which receives the events of the accessibility bus, until the condition holds."""
    context = GLib.MainContext.default()
    expired = []
    deadline = GLib.timeout_add_seconds(timeout, lambda: expired.append(True))
    # For conditions that no event reports.
    look = GLib.timeout_add(50, lambda: True)
    try:
        while True:
            result = condition()
            if result:
                return result
            assert not expired, "waited in vain for " + what
            context.iteration(True)
    finally:
        GLib.source_remove(look)
        if not expired:
            GLib.source_remove(deadline)


class Desktop:
    def __init__(self, scale=1, screen="1024x768x24"):
        self.directory = tempfile.mkdtemp(prefix="tunnels-")
        self.processes = []

        for name in "WAYLAND_DISPLAY", "AT_SPI_BUS_ADDRESS", "GTK_A11Y", "GTK_THEME", "ADW_DEBUG_COLOR_SCHEME":
            self.set_environment(name, None)
        for name, value in {
            "GDK_BACKEND": "x11",
            "GDK_SCALE": str(scale),
            # The processor draws everything, and this renderer needs the least time for that.
            "GSK_RENDERER": "cairo",
            "GSETTINGS_BACKEND": "memory",
            "GIO_USE_VFS": "local",
            "LC_ALL": "C.UTF-8",
        }.items():
            self.set_environment(name, value)
        for name in "CONFIG_HOME", "DATA_HOME", "CACHE_HOME", "RUNTIME_DIR":
            os.mkdir(self.path(name), 0o700)
            self.set_environment("XDG_" + name, self.path(name))

        display = self.spawn_and_read(["Xvfb", "-screen", "0", screen, "-nolisten", "tcp",
                                       "-fbdir", self.directory], "-displayfd {}")
        self.set_environment("DISPLAY", ":" + display)
        with open(self.path("openbox.xml"), "w") as file:
            file.write("<openbox_config/>")
        self.spawn_with_log(["openbox", "--config-file", self.path("openbox.xml"),
                             "--startup", "touch " + self.path("managed")])
        wait_until(lambda: os.path.exists(self.path("managed")), "the window manager")

        os.mkdir(self.path("services"))
        shutil.copy(A11Y_SERVICE, self.path("services"))
        with open(self.path("bus.conf"), "w") as file:
            file.write(BUS.format(self.directory))
        address = self.spawn_and_read(["dbus-daemon", "--nofork", "--config-file=" + self.path("bus.conf")],
                                      "--print-address={}")
        self.set_environment("DBUS_SESSION_BUS_ADDRESS", address)
        self.connection = Gio.bus_get_sync(Gio.BusType.SESSION)
        self.connection.set_exit_on_close(False)
        Atspi.init()
        # By default a call fails after less than a second, which can happen on a busy machine without any error.
        Atspi.set_timeout(GENEROUS_S * 1000, GENEROUS_S * 1000)

    def set_environment(self, name, value):
        """Sets a variable for processes that are started, and also for the libraries of this process, which do not
        read os.environ."""
        if value is None:
            os.environ.pop(name, None)
            GLib.unsetenv(name)
        else:
            os.environ[name] = value
            GLib.setenv(name, value, True)

    def spawn(self, command, **options):
        process = subprocess.Popen(command, **options)
        self.processes.append(process)
        return process

    def spawn_with_log(self, command, **options):
        with open(self.path("servers.log"), "a") as log:
            return self.spawn(command, stdout=log, stderr=log, **options)

    def spawn_and_read(self, command, option):
        """Starts a server that writes its address to a file descriptor, and returns that line."""
        reader, writer = os.pipe()
        self.spawn_with_log([*command, *option.format(writer).split()], pass_fds=[writer])
        os.close(writer)
        with os.fdopen(reader) as file:
            line = file.readline().strip()
        assert line, command[0] + " did not start"
        return line

    def close(self):
        for process in reversed(self.processes.copy()):
            self.end(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def start_application(self):
        self.log = open(self.path("log"), "w+")
        self.application = self.spawn([sys.executable, os.path.join(HERE, "observed.py")], stderr=self.log)
        self.wait_for(Atspi.Role.FRAME, "Tunnels")
        wait_until(lambda: self.has_owner(APPLICATION_ID), "the application")

    def end_application(self):
        """Ends the application as its user would, and returns the warnings that it printed."""
        self.activate("quit")
        self.application.wait(GENEROUS_S)
        return self.forget_application()

    def forget_application(self):
        self.processes.remove(self.application)
        self.application.kill()
        self.application.wait()
        with self.log:
            self.log.seek(0)
            # Three messages are allowed. The library may log the connections that were broken. GTK 4.18 warns about
            # how libadwaita lays out the long heading of an AdwMessageDialog. GTK 4.8 sometimes answers the
            # accessibility bus with the path of a widget that has none yet: it makes a GVariant from NULL, and then a
            # message from that.
            return "".join(line for line in self.log if line.strip() and not re.search(
                "TcpTunnel-Message|Gtk-WARNING .*: Trying to measure GtkLabel 0x[0-9a-f]+ for width|"
                r"GLib-CRITICAL \*\*: .*: g_variant_(is|new)_object_path: assertion '(string != NULL|g_variant_is_object_path .*)' failed|"
                r"GLib-CRITICAL \*\*: .*: g_variant_\w+: assertion 'value != NULL' failed|"
                r"GLib-GIO-CRITICAL \*\*: .*: g_dbus_method_invocation_return_value(_internal)?: assertion", line))

    def start_keyring(self):
        keyring = self.spawn_with_log(["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets",
                                       "--control-directory=" + self.path("RUNTIME_DIR")], stdin=subprocess.PIPE)
        keyring.stdin.write(b"password")
        keyring.stdin.close()
        wait_until(lambda: self.has_owner("org.freedesktop.secrets"), "the keyring")
        return keyring

    def end(self, process):
        self.processes.remove(process)
        process.terminate()
        process.wait(GENEROUS_S)

    def has_owner(self, name):
        return self.connection.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                         "NameHasOwner", GLib.Variant("(s)", (name,)), None, 0, -1, None).unpack()[0]

    def picture(self):
        """Returns what the screen shows. Xvfb keeps it in a file in the XWD format."""
        with open(self.path("Xvfb_screen0"), "rb") as file:
            data = bytearray(file.read())
        size, _, _, _, width, height, _, _, _, _, _, _, stride, _, _, _, _, _, _, colors = struct.unpack(">20I", data[:80])
        return cairo.ImageSurface.create_for_data(
            memoryview(data)[size + 12 * colors:], cairo.FORMAT_RGB24, width, height, stride)

    def call(self, method, *arguments):
        return self.connection.call_sync(APPLICATION_ID, APPLICATION_PATH, "org.gtk.Actions", method, *arguments, None,
                                         Gio.DBusCallFlags.NO_AUTO_START, GENEROUS_S * 1000, None).unpack()

    def activate(self, action, *argument):
        self.call("Activate", GLib.Variant("(sava{sv})", (action, argument, {})))

    def state(self, action):
        return self.call("Describe", GLib.Variant("(s)", (action,)))[0][2][0]

    # What the screen shows, according to the accessibility bus

    def nodes(self):
        """Yields all nodes with their roles, parents first. A node that disappears meanwhile is left out, and one
        that moves may be. Only if self.whole is true afterwards was everything seen, so that a node that was not
        found does not exist."""
        self.whole = True
        left = [Atspi.get_desktop(0)]
        while left:
            node = left.pop()
            try:
                role = node.get_role()
                if role == Atspi.Role.APPLICATION:
                    # The cached properties of a node are updated later than the node.
                    node.set_cache_mask(Atspi.Cache.NONE)
                elif role != Atspi.Role.DESKTOP_FRAME and not node.get_state_set().contains(Atspi.StateType.VISIBLE):
                    continue
                yield node, role
                # The children of labels are not needed, and there are many of them.
                if role != Atspi.Role.LABEL:
                    children = [node.get_child_at_index(index) for index in range(node.get_child_count())]
                    if None in children or node.get_child_count() != len(children):
                        self.whole = False
                    left += filter(None, reversed(children))
            except GLib.Error:
                self.whole = False

    def name_of(self, node):
        try:
            return node.get_name()
        except GLib.Error:
            self.whole = False
            return ""

    def find(self, role, name):
        """Returns the first node with this role and name. Until GTK 4.10, the name of a button with a mnemonic has
        the mnemonic before the visible text."""
        for node, its_role in self.nodes():
            if its_role == role and (" " + self.name_of(node)).endswith(" " + name):
                return node
        return None

    def wait_for(self, role, name):
        return wait_until(lambda: self.find(role, name), f"the {role.value_nick} “{name}”")

    def wait_until_gone(self, node):
        """Waits until this node does not exist any more. Another one with the same name may exist at once."""
        wait_until(lambda: not any(other == node for other, _ in self.nodes()) and self.whole, "the end of what was there")

    def texts(self):
        """Returns all visible texts."""
        return [self.name_of(node) for node, role in self.nodes() if role == Atspi.Role.LABEL]

    def wait_for_text(self, pattern):
        """Waits for a text that matches a regular expression, and returns the match."""
        try:
            return wait_until(lambda: next(filter(None, (re.search(pattern, text) for text in self.texts())), None),
                              f"“{pattern}”")
        except AssertionError as error:
            raise AssertionError(f"{error}; the texts are {self.texts()}") from None

    def wait_until_no_text(self, pattern):
        wait_until(lambda: not any(re.search(pattern, text) for text in self.texts()) and self.whole,
                   f"the end of “{pattern}”")

    def press(self, name, role=Atspi.Role.PUSH_BUTTON):
        """Presses a button. GTK shows it as pressed first, and acts a quarter of a second later."""
        button = self.wait_for(role, name)
        wait_until(self.is_allocated, "the sizes of the windows")
        assert Atspi.Action.do_action(button, 0)

    def is_allocated(self):
        self.activate("allocated")
        return self.state("allocated")

    def enter(self, name, text):
        field = self.wait_for(Atspi.Role.TEXT, name)
        assert Atspi.EditableText.set_text_contents(field, text)
        return field

    def wait_for_content(self, name, text):
        field = self.wait_for(Atspi.Role.TEXT, name)
        wait_until(lambda: Atspi.Text.get_text(field, 0, field.get_character_count()) == text, f"“{text}” in {name}")

    # The keyboard

    def has_keyboard(self):
        self.activate("keyboard")
        return self.state("keyboard")

    def type(self, key, modifier=None):
        wait_until(self.has_keyboard, "the keyboard in the uppermost window")
        if modifier:
            assert Atspi.generate_keyboard_event(MODIFIERS[modifier], None, Atspi.KeySynthType.PRESS)
        assert Atspi.generate_keyboard_event(Gdk.keyval_from_name(key), None, Atspi.KeySynthType.SYM)
        if modifier:
            assert Atspi.generate_keyboard_event(MODIFIERS[modifier], None, Atspi.KeySynthType.RELEASE)

    def focused(self):
        """Returns the role and the name of the widget that has the focus."""
        for node, role in self.nodes():
            if node.get_state_set().contains(Atspi.StateType.FOCUSED):
                return role, self.name_of(node)
        return None
