#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps several tunnels open until SIGTERM or SIGINT. A file contains their settings:

[database]
remote-uri = wss://example.org/database
token-file = database.token
port = 5432
mode = multiplexed

./service.py tunnels.ini
"""

import asyncio
import configparser
import logging
import signal
import sys
from pathlib import Path

import gi

gi.require_version("TcpTunnel", "1")
from gi.repository import GLib, TcpTunnel

RETRY_S = 30


class Service:
    def __init__(self, settings: configparser.SectionProxy) -> None:
        self.log = logging.getLogger(settings.name)
        self.token_file = Path(settings["token-file"])
        self.tunnel = TcpTunnel.Tunnel(settings["remote-uri"], port=settings.getint("port", 0), log_level="none")
        for name in {"mode", "resumption"} & settings.keys():
            self.tunnel.set_property(name, settings[name])
        self.tunnel.on_connection_state_change(lambda state: self.log.info(state.value_nick))
        self.tunnel.connect("token-required", self.on_token_required)

    def read_token(self) -> str:
        return self.token_file.read_text().strip()

    def on_token_required(self, tunnel: TcpTunnel.Tunnel) -> None:
        self.log.info("the token was refused, it is read again")
        tunnel.token = self.read_token()

    async def run_once(self) -> None:
        failure = asyncio.get_running_loop().create_future()
        handler = self.tunnel.connect("failed", lambda tunnel, error: failure.set_exception(error))
        try:
            self.tunnel.token = self.read_token()
            async with self.tunnel:
                self.log.info("listening on %s", self.tunnel.address)
                await failure
        finally:
            self.tunnel.disconnect(handler)

    async def run(self) -> None:
        while True:
            try:
                await self.run_once()
            except (GLib.Error, OSError) as error:
                self.log.error("%s", error)
            await asyncio.sleep(RETRY_S)


def read_settings(path: str) -> configparser.ConfigParser:
    settings = configparser.ConfigParser()
    try:
        with open(path) as file:
            settings.read_file(file)
    except (OSError, configparser.Error) as error:
        sys.exit(str(error))
    return settings


async def main(settings: configparser.ConfigParser) -> None:
    services = asyncio.gather(*(Service(settings[name]).run() for name in settings.sections()))
    for number in signal.SIGINT, signal.SIGTERM:
        asyncio.get_running_loop().add_signal_handler(number, services.cancel)
    try:
        await services
    except asyncio.CancelledError:
        logging.info("stopped")


if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
    sys.exit("usage: service.py FILE")
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stdout)
asyncio.run(main(read_settings(sys.argv[1])))
