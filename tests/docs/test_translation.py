# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks that the messages for people can be translated: that the marked ones are extracted, and that none is left
unmarked."""

import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
MARKED = re.compile(r'\bN?_\("|\b(?:tcp_)?ngettext \("')
CALLS = re.compile(r"\b(?:g_set_error(?:_literal)?|g_error_new(?:_literal)?|g_task_return_new_error|g_prefix_error(?:_literal)?|"
                   r"tcp_invalid|problems_add) \(")
LITERAL = re.compile(r'"(?:\\.|[^"\\\n])*"')
WORDS = re.compile(r"[A-Za-z]{2,}[,;:]* [A-Za-z(“']|%s [a-z]{2,}")
# Messages that are sent to the peer, which writes them to its own log, or that are only logged here.
TO_PEER = {
    "src/protocol/plain.c": {"the WebSocket to %s broke with up to %", " bytes on their way (%s), ", "so the TCP connection was reset",
                             "%s; it gave no sessionId with which it could come back", "%s does not listen: %s", "no reason given",
                             "%s broke the protocol of reverse tunnels: it sent %s"},
    "src/protocol/resumable.c": {"%s broke the protocol: %s", "%s ended the session: %s", "%s sent more than it had credit for"},
    "src/tunnel/services.c": {"the service %s cannot be reached: %s", "there is no such listener any more"},
    "src/websocket/channel.c": {"a message was not complete after %u ms, and there is no memory to keep it (%s)"},
    "src/session/session.c": {"more than %", " bytes came for connections whose target was not connected yet, ", "of which this had most",
                              " bytes came before the target was connected (max-pending-bytes)"},
    "src/session/session-state.c": {"the gateway was restarted"},
}
# Every error of these files is a reason that is sent to the peer, is only logged, or stays between libraries.
FOR_PEER = {"src/cli/ready.c", "src/gateway/client.c", "src/gateway/reverse.c", "src/gateway/tls-queue.c",
            "src/websocket/control-stream.c"}


def listed():
    return [line for line in (SOURCE / "po/POTFILES").read_text().splitlines() if line and not line.startswith("#")]


def arguments(text, start):
    """Returns the arguments of the call whose parenthesis opens just before start."""
    depth = 1
    for match in re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\])*\'|[()]').finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return text[start:match.start()]
    return text[start:]


class Translation(unittest.TestCase):
    def test_files(self):
        marked = {str(path.relative_to(SOURCE)) for path in (SOURCE / "src").rglob("*.[ch]")
                  if path.name not in ("i18n.c", "i18n.h") and MARKED.search(path.read_text())}
        self.assertEqual(listed(), sorted(marked), "po/POTFILES lists other files than those with messages to translate")

    def test_messages_are_marked(self):
        bare = []
        sources = {str(path.relative_to(SOURCE)) for path in (SOURCE / "src").rglob("*.[ch]")}
        for name in sorted(sources - FOR_PEER):
            text = (SOURCE / name).read_text()
            for call in CALLS.finditer(text):
                rest = re.sub(r'(?:_|ngettext )\((?:[^()]|\([^()]*\))*\)', "", arguments(text, call.end()))
                for literal in LITERAL.findall(rest):
                    if WORDS.search(literal) and literal[1:-1] not in TO_PEER.get(name, ()):
                        bare.append(f"{name}:{text[:call.start()].count(chr(10)) + 1}: {literal}")
        self.assertEqual(bare, [], "these messages are not marked with _()")

    def test_formats(self):
        """xgettext does not expand macros, so a text with one is never found in the catalogue."""
        for name in listed():
            self.assertNotRegex((SOURCE / name).read_text(), r'\b(?:_|N_|ngettext )\(\s*(?:"(?:[^"\\]|\\.)*"\s*)+[A-Z]\w+')

    @unittest.skipUnless(shutil.which("xgettext"), "xgettext is not installed")
    def test_extraction(self):
        with tempfile.TemporaryDirectory() as place:
            template = Path(place) / "messages.pot"
            subprocess.run(["xgettext", "--from-code=UTF-8", "--keyword=_", "--keyword=N_", "--keyword=ngettext:1,2",
                            "--keyword=tcp_ngettext:1,2", f"--output={template}", *listed()], cwd=SOURCE, check=True)
            messages = template.read_text()
        self.assertGreater(messages.count("\nmsgid "), 300)
        for message in ("the gateway %s refused the token (%s)%s", "there is no option '%s'%s", "File that holds the token",
                        "Open the tunnels of the config file.", "gave up after %u attempts: %s"):
            self.assertIn(f'"{message}"', messages)


if __name__ == "__main__":
    unittest.main(verbosity=2)
