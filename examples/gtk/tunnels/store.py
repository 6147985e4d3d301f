# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration of a tunnel, the checks of its values, and the key file that contains it."""

import ipaddress
import os
from dataclasses import dataclass, field

from gi.repository import GLib

MODES = ("singleton", "multiplexed")
MAX_PORT = 65535


@dataclass(frozen=True)
class Config:
    """The configuration of a tunnel. The token is not part of it."""

    name: str
    gateway: str
    hostname: str = "127.0.0.1"
    port: int = 0
    mode: str = "singleton"
    id: str = field(default_factory=GLib.uuid_string_random)

    def connects_like(self, other):
        return (self.gateway, self.hostname, self.port, self.mode) == (
            other.gateway, other.hostname, other.port, other.mode)


class Store:
    """The key file. It is read and written as a whole, and keys of other programs are kept."""

    def __init__(self, path=None):
        self.path = path or os.path.join(GLib.get_user_config_dir(), "tcp-tunnels", "tunnels.ini")
        self.key_file = GLib.KeyFile()

    def load(self):
        try:
            self.key_file.load_from_file(self.path, GLib.KeyFileFlags.KEEP_COMMENTS)
        except GLib.Error as error:
            if error.matches(GLib.file_error_quark(), GLib.FileError.NOENT):
                return []
            if error.domain == GLib.quark_to_string(GLib.KeyFile.error_quark()):
                # The next save would overwrite a file that the user may want to repair.
                os.replace(self.path, self.path + ".unreadable")
            raise
        groups, _ = self.key_file.get_groups()
        return [self._read(group) for group in groups]

    def _read(self, group):
        def value(get, key, default):
            try:
                return get(group, key)
            except GLib.Error:
                return default

        text, number = self.key_file.get_string, self.key_file.get_integer
        gateway = value(text, "Gateway", "")
        port = value(number, "Port", 0)
        mode = value(text, "Mode", Config.mode)
        return Config(
            id=group,
            name=value(text, "Name", gateway),
            gateway=gateway,
            hostname=value(text, "Hostname", Config.hostname),
            port=port if 0 <= port <= MAX_PORT else 0,
            mode=mode if mode in MODES else Config.mode,
        )

    def save(self, configs):
        groups, _ = self.key_file.get_groups()
        for group in set(groups) - {config.id for config in configs}:
            self.key_file.remove_group(group)
        for config in configs:
            self.key_file.set_string(config.id, "Name", config.name)
            self.key_file.set_string(config.id, "Gateway", config.gateway)
            self.key_file.set_string(config.id, "Hostname", config.hostname)
            self.key_file.set_integer(config.id, "Port", config.port)
            self.key_file.set_string(config.id, "Mode", config.mode)
        GLib.mkdir_with_parents(os.path.dirname(self.path), 0o700)
        self.key_file.save_to_file(self.path)


# These functions check what the user typed into a field. Each returns a message about what is wrong, or an empty
# string.

def check_name(text, others):
    if not text:
        return "Enter a name."
    if any(other.name.casefold() == text.casefold() for other in others):
        return "Another tunnel has this name."
    return ""


def check_gateway(text):
    if not text:
        return "Enter the address of the gateway, such as wss://example.com/instance."
    try:
        uri = GLib.Uri.parse(text, GLib.UriFlags.HAS_PASSWORD | GLib.UriFlags.ENCODED)
    except GLib.Error:
        return "This is not an address such as wss://example.com/instance."
    if uri.get_scheme() not in ("ws", "wss"):
        return "The address has to begin with wss:// or ws://."
    if uri.get_userinfo():
        return "Leave out user and password: the token is what authorises."
    if not uri.get_host():
        return "The address names no host."
    return ""


def check_token(text):
    if any(not "!" <= character <= "~" for character in text):
        return "A token has neither spaces nor characters that are not ASCII."
    return ""


def check_hostname(text):
    try:
        text == "localhost" or ipaddress.ip_address(text)
    except ValueError:
        return "Enter an address of this computer, such as 127.0.0.1."
    return ""


def check_port(text, hostname, others):
    if text and not (text.isascii() and text.isdigit() and int(text) <= MAX_PORT):
        return f"Enter a number up to {MAX_PORT}, or nothing for any port that is free."
    port = int(text or 0)
    for other in others:
        if port and (other.hostname, other.port) == (hostname, port):
            return f"“{other.name}” has this port."
    return ""
