# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps tokens in the keyring of the desktop. Without a keyring they are not kept at all."""

from collections import deque

import gi
from gi.repository import GLib

from . import APPLICATION_ID

try:
    gi.require_version("Secret", "1")
    from gi.repository import Secret
except (ImportError, ValueError):
    Secret = None
else:
    SCHEMA = Secret.Schema.new(APPLICATION_ID, Secret.SchemaFlags.NONE,
                               {"tunnel": Secret.SchemaAttributeType.STRING})


# The requests to the keyring, of which the first is running. They run one after the other, because a token that was
# stored has to be found by the next lookup.
queue = deque()


def enqueue(begin, finish, done):
    """Calls done with the result and no error, or without a result and with an error."""

    def on_done(_, result):
        queue.popleft()
        if queue:
            queue[0]()
        try:
            value, error = finish(result), None
        except GLib.Error as problem:
            value, error = None, problem
        done(value, error)

    queue.append(lambda: begin(on_done))
    if len(queue) == 1:
        queue[0]()


def look_up(id, done):
    """Calls done with the token of a tunnel, or None, and with whether there is a keyring."""
    if Secret:
        enqueue(lambda on_done: Secret.password_lookup(SCHEMA, {"tunnel": id}, None, on_done),
                Secret.password_lookup_finish, lambda token, error: done(token, not error))
    else:
        GLib.idle_add(done, None, False)


def keep(id, name, token, failed):
    """Stores a token, and calls failed with a message if that is not possible. An empty token removes the stored one.
    """
    if Secret and token:
        enqueue(lambda on_done: Secret.password_store(SCHEMA, {"tunnel": id}, Secret.COLLECTION_DEFAULT,
                                                      f"Token of the tunnel “{name}”", token, None, on_done),
                Secret.password_store_finish, lambda _, error: error and failed(error.message))
    elif Secret:
        enqueue(lambda on_done: Secret.password_clear(SCHEMA, {"tunnel": id}, None, on_done),
                Secret.password_clear_finish, lambda *_: None)
