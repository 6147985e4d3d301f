# SPDX-License-Identifier: LGPL-2.1-or-later
"""nginx and HAProxy, with configurations of the guide."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

GENEROUS_S = 30
GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "guide"

# Otherwise nginx would write to directories of the system.
NGINX = """daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
access_log off;
client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
%s
}
"""


def find_proxy(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")


def guide_block(page, language, number=0):
    """Returns the configuration with this number on a page."""
    text = (GUIDE / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[number]


def wait_for_port(process, port):
    deadline = time.monotonic() + GENEROUS_S
    while True:
        assert process.poll() is None and time.monotonic() < deadline, "the proxy does not start"
        try:
            socket.create_connection(("127.0.0.1", port), GENEROUS_S).close()
            return
        except OSError:
            time.sleep(0.01)


class Proxy:
    """The program, with the configuration that was written before; it listens on @port."""

    def __init__(self, name, directory, port):
        self.name = name
        self.directory = directory
        self.port = port
        self.start()

    @staticmethod
    def write(name, directory, text):
        (directory / "proxy.conf").write_text(NGINX % text if name == "nginx" else text)

    def start(self):
        program = find_proxy(self.name)
        command = {"nginx": [program, "-e", "stderr", "-p", self.directory, "-c", "proxy.conf"],
                   "haproxy": [program, "-W", "-db", "-q", "-f", "proxy.conf"]}[self.name]
        # Without a stdin, HAProxy closes a socket instead.
        self.process = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL)
        wait_for_port(self.process, self.port)

    def list_workers(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return set(children.split())

    def reload(self):
        """Returns when another worker accepts connections; the old one keeps its connections."""
        former = self.list_workers()
        self.process.send_signal({"nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2}[self.name])
        deadline = time.monotonic() + GENEROUS_S
        while not self.list_workers() - former:
            assert self.process.poll() is None and time.monotonic() < deadline, "the proxy does not reload"
            time.sleep(0.01)
        wait_for_port(self.process, self.port)

    def stop(self):
        """Stops the program at once, with all its connections."""
        self.process.terminate()
        self.process.wait(GENEROUS_S)
