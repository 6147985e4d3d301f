# SPDX-License-Identifier: LGPL-2.1-or-later
"""The gateway as a service of systemd: installs the Debian packages in a new system, boots it in a container, and
follows the guide's page on production there, from top to bottom, with each command as it stands. One connection is in
use from the start of the service to the end.

    test_systemd.py DIRECTORY

As root. The system stays in DIRECTORY, and is used again if it is there."""

import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BARE = ROOT / "scripts" / "bare-system"
PAGE = ROOT / "docs" / "guide" / "production.md"
DIRECTORY = Path(sys.argv[1]).resolve()
BOOT_DEADLINE = 600
DONE = "the page was followed"

# What the packages depend on stays; the page installs them.
PREPARE = """set -e
./scripts/package-debian
apt-get -qq update
apt-get -qq install -y --no-install-recommends systemd systemd-sysv dbus sudo curl openssl python3-minimal >/dev/null
apt-get -qq install -y --no-install-recommends ./_build/debian/tcp-tunnel_*.deb ./_build/debian/libtcptunnel-1-0_*.deb >/dev/null
apt-get -qq purge -y tcp-tunnel libtcptunnel-1-0 >/dev/null
rm -rf /etc/tcp-tunnel /etc/systemd/system/tcp-tunnel* /etc/letsencrypt
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/90yes
"""

UNIT = f"""[Unit]
SuccessAction=poweroff
FailureAction=poweroff
After=multi-user.target

[Service]
Type=oneshot
Environment=HOME=/root
WorkingDirectory=/root/libtcptunnel
ExecStart=/bin/bash -ex /root/follow.sh
StandardOutput=truncate:/root/follow.log
StandardError=inherit
TimeoutStartSec={BOOT_DEADLINE}
"""

# An echo service, and a client that uses one connection to it until there is a file /root/enough.
CLIENT = r'''
import os, socket, threading, time

def echo(client):
    while data := client.recv(65536):
        client.sendall(data)

def serve(listener):
    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

threading.Thread(target=serve, args=(socket.create_server(("127.0.0.1", 5432)),), daemon=True).start()
with socket.create_connection(("127.0.0.1", int(os.environ["TCP_TUNNEL_PORT"]))) as client:
    slowest = trips = 0
    while not os.path.exists("/root/enough"):
        data = os.urandom(10000)
        start = time.monotonic()
        client.sendall(data)
        back = b""
        while len(back) < len(data):
            part = client.recv(65536)
            assert part, "the connection has ended"
            back += part
        assert back == data
        slowest = max(slowest, time.monotonic() - start)
        if (trips := trips + 1) == 1:
            open("/root/in-use", "w").close()
    print(f"{trips} round trips, the slowest {1000 * slowest:.0f} ms")
'''

# Waits for what happens behind a command, such as a reload by a file that has changed.
HELPERS = r'''
export LC_ALL=C.UTF-8
gateway=tcp-tunnel-gateway
now () { date +%s.%N; }
logged () { timeout 60 journalctl -u "$gateway" --since "@$1" -n all -f -o cat | grep -q -m 1 "$2"; }
until_there () { for i in $(seq 600); do [ ! -e "$1" ] || return 0; sleep 0.1; done; echo "no $1"; return 1; }
check () { tcp-tunnel check "wss://localhost/db" --ca cert.pem --token-file "$1" >/dev/null; }
rm -f /root/enough /root/in-use
'''

SOCKET = r'''sed -i '/^listen=/d' gateway.conf
install -m 640 -g tcp-tunnel gateway.conf /etc/tcp-tunnel/
install -d /etc/systemd/system/$gateway.socket.d
printf '{}' >/etc/systemd/system/$gateway.socket.d/override.conf
systemctl daemon-reload
'''

START_CLIENT = r'''
check alice.token
tcp-tunnel connect wss://localhost/db --ca cert.pem --token-file alice.token --listen 15432 \
  --on-ready 'python3 /root/client.py >/root/client.log 2>&1; touch /root/client-ended' >/root/tunnel.log 2>&1 &
until_there /root/in-use
'''

FINISH = r'''
check carol.token
since=$(now)
cp /etc/tcp-tunnel/gateway.conf good.conf
echo nonsense=1 >>/etc/tcp-tunnel/gateway.conf
systemctl reload $gateway
logged $since "gateway.conf:.*nonsense"
cp good.conf /etc/tcp-tunnel/gateway.conf
journalctl -q -p warning -u $gateway -o cat | grep -q nonsense
if journalctl -q -p warning -u $gateway -o cat | grep 'is connected from'; then exit 1; fi

# A process that is killed is started again, and the socket of systemd has never been closed.
touch /root/enough
until_there /root/client-ended
cat /root/client.log
grep -q 'round trips' /root/client.log
systemctl kill --signal=KILL $gateway
check alice.token
systemctl is-active $gateway
'''


def read_blocks():
    """Returns the examples of the page as (heading, kind, text)."""
    heading = ""
    for part in re.findall(r"^#+ ([^\n]+)$|^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if part[0]:
            heading = part[0]
        else:
            yield heading, part[1], part[2]


def follow_commands(text):
    for line in text.splitlines():
        if line.startswith("./scripts/package-debian"):
            yield "ls _build/debian/*.deb"
        elif line.startswith("tcp-tunnel gateway") and "--check" not in line:
            yield f"exec 3< <({line} 2>&1)\nread -r line <&3\npid=$!"
        elif "SIGUSR2" in line:
            yield f"before=$(systemctl show -p MainPID $gateway)\nsince=$(now)\n{line}\nlogged $since 'sessions that go on after the restart: 1'"
            yield '[ "$(systemctl show -p MainPID $gateway)" = "$before" ]'
        elif "install -m 640" in line and "/etc/tcp-tunnel/" in line:
            yield f"since=$(now)\n{line}\nif systemctl is-active --quiet $gateway; then logged $since 'was reloaded'; fi"
        else:
            yield line
    if "tcp-tunnel gateway" in text and "--listen" in text:
        yield "kill $pid\nexec 3<&-"


def write_script():
    script = [HELPERS]
    renewal = None
    for heading, kind, text in read_blocks():
        script.append(f": == {heading}")
        if kind == "conf":
            script.append(f"cat >gateway.conf <<'END'\n{text}END")
        elif text.startswith("#!"):
            renewal = text
        elif text.startswith("[Socket]"):
            script.append(SOCKET.replace("{}", text.replace("\n", "\\n")))
        elif re.match(r"[\w-]+=", text):
            continue # for a gateway behind a reverse proxy
        else:
            script += follow_commands(text)
        if "tcp-tunnel-gateway.socket" in text:
            script.append(START_CLIENT)
    script.append("install -d lineage && cp cert.pem lineage/fullchain.pem && cp key.pem lineage/privkey.pem")
    script.append(f"cat >renew <<'END'\n{renewal}END\nsince=$(now)\nRENEWED_LINEAGE=$PWD/lineage sh renew\nlogged $since 'was reloaded'")
    script.append(FINISH)
    script.append(f"echo {DONE}")
    return "\n".join(script) + "\n"


class Systemd(unittest.TestCase):
    def test_page(self):
        subprocess.run([BARE, "--suite", "bookworm", "--keep-build", DIRECTORY, "sh", "-c", PREPARE], check=True)
        home = DIRECTORY / "root"
        log = home / "follow.log"
        log.unlink(missing_ok=True)
        (home / "follow.sh").write_text(write_script(), encoding="utf-8")
        (home / "client.py").write_text(CLIENT, encoding="utf-8")
        system = DIRECTORY / "etc/systemd/system"
        (system / "follow.service").write_text(UNIT, encoding="utf-8")
        # It has a network of its own, with the loopback interface only.
        boot = subprocess.run(["systemd-nspawn", "--quiet", f"--directory={DIRECTORY}", "--register=no", "--keep-unit", "--private-network",
                               "--boot", "systemd.wants=follow.service"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=BOOT_DEADLINE + 60)
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else boot.stdout + boot.stderr
        self.assertEqual(text.splitlines()[-1:], [DONE], text)
        print(re.search(r"(?m)^\d+ round trips.*", text)[0])


if os.getuid() != 0 or not all(map(shutil.which, ("debootstrap", "systemd-nspawn"))):
    print("root, debootstrap and systemd-nspawn are needed")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
unittest.main(argv=[sys.argv[0]], verbosity=2)
