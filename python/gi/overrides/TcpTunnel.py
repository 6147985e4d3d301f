# SPDX-License-Identifier: LGPL-2.1-or-later
"""What makes TcpTunnel feel at home in Python: attributes, exceptions, `with`, `await`."""

import asyncio
import contextlib
import ctypes
import datetime
import operator
import os
import socket
import subprocess
import sys
import tempfile
import typing
import weakref

import gi
from gi.repository import Gio, GLib, GObject

from .. import _ossighelper
from ..module import get_introspection_module
from ..overrides import override

TcpTunnel = get_introspection_module("TcpTunnel")

__all__ = ["Address", "Authentication", "Connection", "Endpoint", "Error", "Forward", "Gateway", "Principal", "ReverseTunnel",
           "Tunnel", "start_reverse_tcp_tunnel", "start_tcp_tunnel"]


def _error_domain():
    try:
        return GLib.quark_to_string(TcpTunnel.tunnel_error_quark())
    except GLib.Error as error:
        # The first call needs the library, of which the typelib only has the name.
        raise ImportError("libtcptunnel, to which TcpTunnel-1.typelib belongs, cannot be loaded: %s. Below /usr/local it is found "
                          "after 'sudo ldconfig'; elsewhere set LD_LIBRARY_PATH to its directory." % error.message,
                          name="gi.repository.TcpTunnel") from None


class Error(GLib.Error):
    """An error of the library. There is a class below it for each code."""

    domain = _error_domain()
    code = -1  # no code that this version knows

    def __init__(self, message="", domain=None, code=None):
        super().__init__(message, domain or self.domain, self.code if code is None else code)

    def __str__(self):
        return self.message

    def __repr__(self):
        return "TcpTunnel.%s(%r)" % (type(self).__name__, self.message)

    def copy(self):
        return type(self)(self.message, self.domain, self.code)


def _error_class(name, code):
    """That of UNAUTHORIZED is UnauthorizedError."""
    name = name.title().replace("_", "") + "Error"
    globals()[name] = type(name, (Error,), {"__module__": __name__, "code": code})
    __all__.append(name)
    return globals()[name]


_errors = {int(getattr(TcpTunnel.TunnelError, name)): _error_class(name, int(getattr(TcpTunnel.TunnelError, name)))
           for name in dir(TcpTunnel.TunnelError) if name.isupper()}


def _new_error(class_, message="", domain=None, code=None):
    """Gives errors of the library their class. PyGObject calls GLib.Error for each error of C, be it raised,
    the argument of a signal or a property."""
    if class_ is GLib.Error and domain == Error.domain:
        class_ = _errors.get(code, Error)
    return RuntimeError.__new__(class_, message)


GLib.Error.__new__ = _new_error

# PyGObject cannot call g_main_context_query(). The functions are looked up in PyGObject's own
# module, so that they are those of the GLib that it uses.
_glib = ctypes.CDLL(gi._gi.__file__)
_OWNERLESS_POLLING = 1


class _PollFD(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_ushort), ("revents", ctypes.c_ushort)]


def _function(name, result, *arguments):
    function = _glib["g_main_context_" + name]
    function.restype = result
    function.argtypes = arguments
    return function


_new = _function("new_with_flags", ctypes.c_void_p, ctypes.c_int)
_unref = _function("unref", None, ctypes.c_void_p)
_push = _function("push_thread_default", None, ctypes.c_void_p)
_pop = _function("pop_thread_default", None, ctypes.c_void_p)
_acquire = _function("acquire", ctypes.c_int, ctypes.c_void_p)
_release = _function("release", None, ctypes.c_void_p)
_prepare = _function("prepare", ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))
_query = _function("query", ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int),
                   ctypes.POINTER(_PollFD), ctypes.c_int)
_iteration = _function("iteration", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


class _Pump:
    """A GMainContext that the running asyncio loop iterates, as GLib would: it waits for the
    context's file descriptors and timeouts, and does nothing in between."""

    def __init__(self):
        # Sources are attached and woken by other threads while nobody owns the context.
        self._context = _new(_OWNERLESS_POLLING)
        self._readers = set()
        self._writers = set()
        self._next = None
        self._wait(asyncio.get_running_loop())

    def __del__(self, unref=_unref):
        unref(self._context)

    @contextlib.contextmanager
    def as_thread_default(self):
        _push(self._context)
        try:
            yield
        finally:
            _pop(self._context)

    def _turn(self):
        loop = asyncio.get_running_loop()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        with self.as_thread_default():
            busy = _iteration(self._context, False)
        if busy:
            # Not at once: asyncio's other callbacks want their turn as well.
            self._next = loop.call_soon(self._turn)
        else:
            self._wait(loop)

    def _wait(self, loop):
        timeout, fds = self._ask()
        readers = {fd.fd for fd in fds if fd.events & ~GLib.IOCondition.OUT}
        writers = {fd.fd for fd in fds if fd.events & GLib.IOCondition.OUT}
        for fd in self._readers - readers:
            loop.remove_reader(fd)
        for fd in self._writers - writers:
            loop.remove_writer(fd)
        for fd in readers - self._readers:
            loop.add_reader(fd, self._turn)
        for fd in writers - self._writers:
            loop.add_writer(fd, self._turn)
        self._readers, self._writers = readers, writers
        if timeout >= 0:
            self._next = loop.call_later(timeout / 1000, self._turn)

    def _ask(self):
        """What to wait for: a timeout in milliseconds or -1, and file descriptors."""
        priority, timeout = ctypes.c_int(), ctypes.c_int()
        room, count = 0, 1
        _acquire(self._context)
        _prepare(self._context, priority)
        while count > room:
            room = count
            fds = (_PollFD * room)()
            count = _query(self._context, priority, timeout, fds, room)
        _release(self._context)
        return timeout.value, fds[:count]


_pumps = weakref.WeakKeyDictionary()  # of loops


def _running_loop():
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _is_glib(loop):
    """Whether the loop iterates the thread's GMainContext itself (PyGObject 3.50 and later)."""
    events = sys.modules.get("gi.events")
    return events is not None and isinstance(loop, events.GLibEventLoop)


def _delivery():
    """Within it, what is started tells its events to the loop that runs."""
    loop = _running_loop()
    if loop is None or _is_glib(loop):
        return contextlib.nullcontext()
    if loop not in _pumps:
        _pumps[loop] = _Pump()
    return _pumps[loop].as_thread_default()


_PATIENCE_S = 10  # with an operation that was cancelled


async def _call(begin, finish, cancellable, undo=lambda: None):
    """Awaits an asynchronous operation. If the task is cancelled, so is the operation; what was
    done nevertheless is undone."""
    future = asyncio.get_running_loop().create_future()
    if cancellable is None:
        cancellable = Gio.Cancellable()

    def on_done(source, result):
        try:
            future.set_result(finish(result))
        except GLib.Error as error:
            future.set_exception(error)

    with _delivery():
        begin(cancellable, on_done)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(lambda future: future.exception() or undo())
        cancellable.cancel()
        await asyncio.wait([future], timeout=_PATIENCE_S)
        raise


_STEP_MS = 50  # how long Ctrl-C may have to wait


@contextlib.contextmanager
def _interruptible():
    """Gives a function that raises if Ctrl-C was handled without an exception. Where a main loop runs
    PyGObject's handler calls what the innermost loop has registered; that of asyncio cancels the
    task."""
    interrupts = []
    task = asyncio.current_task() if _running_loop() is not None else None
    count = getattr(task, "cancelling", int)  # since Python 3.11
    before = count()

    def check():
        if interrupts:
            raise KeyboardInterrupt
        if count() > before:
            raise asyncio.CancelledError

    if not getattr(_ossighelper, "_callback_stack", []):
        yield check
        return
    with _ossighelper.register_sigint_fallback(lambda: interrupts.append(True)):
        yield check


def _block(step, cancellable, undo):
    """Makes a blocking call in short steps, because Python handles signals between two calls only. If
    a handler raises, as that of SIGINT does, the call is undone."""
    own = Gio.Cancellable()
    failure = None
    try:
        with _interruptible() as check:
            while True:
                try:
                    if step(_STEP_MS, own):
                        return True
                except GLib.Error as error:
                    failure = error
                    raise
                check()
                if cancellable is not None and cancellable.is_cancelled():
                    own.cancel()
    except BaseException as error:
        if error is not failure:
            own.cancel()
            undo(own)
        raise


def _require_loop(name, otherwise):
    if _running_loop() is None:
        raise RuntimeError("%s() has to be awaited, and no asyncio loop runs in this thread: call it in a coroutine, such as that "
                           "of asyncio.run(). Without asyncio, %s" % (name, otherwise))


def _named(name, coroutine):
    """That is the name in the warning about a coroutine that nobody awaits."""
    coroutine.__qualname__ = name
    return coroutine


def _member(name, enum, value):
    """The member of an enum by its name, or itself. PyGObject would only warn of a number that is none."""
    members = {member.lower().replace("_", "-"): getattr(enum, member) for member in dir(enum) if member.isupper()}
    if value in members.values():
        return value
    if not isinstance(value, str) or value not in members:
        raise ValueError("no %s %r; there are %s" % (name, value, ", ".join(sorted(members))))
    return members[value]


def _integer(name, value, minimum, maximum):
    """PyGObject would cut off a fraction, and only warn of what is out of range."""
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError("%s is a whole number, not %r" % (name, value)) from None
    if not minimum <= value <= maximum:
        raise ValueError("%s is a number from %d to %d, not %d" % (name, minimum, maximum, value))
    return value


def _boolean(name, value):
    """PyGObject would take "no" for true."""
    if not isinstance(value, bool):
        raise TypeError("%s is True or False, not %r" % (name, value))
    return value


class Address(typing.NamedTuple):
    """Where something listens or a client is, as the pair that `socket` and asyncio require."""

    host: str
    port: int

    def __str__(self):
        return ("[%s]:%d" if ":" in self.host else "%s:%d") % self


def _from_gio(address):
    """An address as `socket` has it: a pair, or for a Unix socket its path, which is empty if it has no name."""
    if isinstance(address, Gio.InetSocketAddress):
        return Address(address.get_address().to_string(), address.get_port())
    if isinstance(address, Gio.UnixSocketAddress):
        is_abstract = address.get_address_type() in (Gio.UnixSocketAddressType.ABSTRACT, Gio.UnixSocketAddressType.ABSTRACT_PADDED)
        return ("\0" if is_abstract else "") + (address.get_path() or "")
    return address


def _from_text(text):
    """An address of the form HOST:PORT or [HOST]:PORT."""
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


def _attribute(spec):
    def get(self):
        value = self.get_property(spec.name)
        return _from_gio(value) if isinstance(value, Gio.SocketAddress) else value

    def set(self, value):
        self.set_property(spec.name, value)

    return property(get if spec.flags & GObject.ParamFlags.READABLE else None,
                    set if spec.flags & GObject.ParamFlags.WRITABLE else None)


def _with_attributes(type_):
    type_._specs = {spec.name: spec for spec in GObject.list_properties(type_)}
    for spec in type_._specs.values():
        name = spec.name.replace("-", "_")
        if spec.owner_type == type_.__gtype__ and name not in vars(type_):
            setattr(type_, name, _attribute(spec))
    return type_


@override
@_with_attributes
class Connection(TcpTunnel.Connection):
    pass


def _tcp_address(local, noun):
    """The address of what listens; there is none if that is None, or a Unix socket."""
    if local is None:
        raise WrongStateError(noun + " does not run, and has no address")
    address = _from_gio(local)
    if not isinstance(address, Address):
        raise WrongStateError("%s listens on the Unix socket %s, and has no TCP address: use local_address, as for "
                              "asyncio.open_unix_connection()" % (noun, address))
    return address


class _Connection(asyncio.StreamReaderProtocol):
    """A stream of the tunnel as asyncio has it. How it broke is known to the stream alone: the socket
    has no more than an end."""

    def __init__(self, stream, reader, loop):
        super().__init__(reader, loop=loop)
        self._tcp_stream = stream

    def eof_received(self):
        try:
            self._tcp_stream.get_input_stream().read_bytes(1)
        except GLib.Error:
            return False  # it is closed next
        return super().eof_received()

    def connection_lost(self, error):
        super().connection_lost(self._tcp_stream.get_property("error") or error)


class _Checked:
    """What its properties are set to is checked before, and that they are there."""

    def __init__(self, **properties):
        super().__init__(**{name: self._value(name, value) for name, value in properties.items()})

    @classmethod
    def _value(cls, name, value):
        """The value for a property, an enum's by its name."""
        name = name.replace("_", "-")
        spec = cls._specs.get(name)
        if spec is None:
            return value
        if spec.value_type.is_a(GObject.TYPE_ENUM):
            return _member(name, getattr(TcpTunnel, spec.value_type.name[len("Tcp"):]), value)
        if spec.value_type == GObject.TYPE_BOOLEAN:
            return _boolean(name, value)
        if spec.value_type == GObject.TYPE_STRV and isinstance(value, (str, bytes)):
            # Without the value, which may be a token.
            raise TypeError("%s is a list of strings, not a single one" % name)
        return _integer(name, value, spec.minimum, spec.maximum) if hasattr(spec, "minimum") else value

    def set_property(self, name, value):
        super().set_property(name, self._value(name, value))

    def __setattr__(self, name, value):
        # Classes of an application may have further attributes.
        if "_specs" in vars(type(self)) and not hasattr(type(self), name):
            raise AttributeError("%r object has no attribute %r" % (type(self).__name__, name))
        super().__setattr__(name, value)


_tasks = set()  # asyncio itself keeps only weak references to them


def _run_as_task(coroutine, on_failure):
    async def run():
        try:
            await coroutine
        except BaseException:
            on_failure()
            raise

    loop = _running_loop()
    if loop is None:
        coroutine.close()
        raise RuntimeError("a handler that returns a coroutine requires that the tunnel or gateway was started in an asyncio loop")
    task = loop.create_task(run())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


class _Handler:
    """Calls a function; if that returns a coroutine, it runs as a task. It equals the function, since
    disconnect_by_func() and similar methods of PyGObject search for a handler that does."""

    def __init__(self, function):
        if not callable(function):
            raise TypeError("a handler is a function, not %r" % (function,))
        self._function = function

    def __call__(self, *arguments):
        try:
            result = self._function(*arguments)
            if not asyncio.iscoroutine(result):
                return result
            _run_as_task(result, lambda: self._on_failure(*arguments))
        except BaseException:
            self._on_failure(*arguments)
            raise

    def __eq__(self, other):
        return self._function == other

    def _on_failure(self, *arguments):
        pass


@override
@_with_attributes
class Endpoint(_Checked, TcpTunnel.Endpoint):
    # That of the last start, if it is known. It has to outlive what is attached to it, and the
    # loop that iterates it may not.
    _context = None

    @property
    def address(self):
        """Where it listens, by TCP; a GLib.Error if it does not."""
        return _tcp_address(self.get_local_address(), self._noun)

    def _wrap_handler(self, signal_name, callback):
        return _Handler(callback)

    # As those of each object. A handler may also return a coroutine, which runs as a task.

    def connect(self, signal_name, callback, *user_data):
        return super().connect(signal_name, self._wrap_handler(signal_name, callback), *user_data)

    def connect_after(self, signal_name, callback, *user_data):
        return super().connect_after(signal_name, self._wrap_handler(signal_name, callback), *user_data)

    def connect_object(self, signal_name, callback, instance, *user_data):
        return super().connect_object(signal_name, self._wrap_handler(signal_name, callback), instance, *user_data)

    def connect_object_after(self, signal_name, callback, instance, *user_data):
        return super().connect_object_after(signal_name, self._wrap_handler(signal_name, callback), instance, *user_data)

    def connect_data(self, detailed_signal, handler, *data, connect_flags=GObject.ConnectFlags(0)):
        handler = self._wrap_handler(detailed_signal, handler)
        return super().connect_data(detailed_signal, handler, *data, connect_flags=connect_flags)

    def start(self, cancellable=None):
        """Blocks until it has started. Where an asyncio loop runs it is to be awaited instead;
        what happens later is told from that loop."""
        if _running_loop() is None:
            return self._start(cancellable)
        call = _call(self.start_async, self.start_finish, cancellable, self.close)
        return _named(type(self).__name__ + ".start", call)

    def _start(self, cancellable=None):
        if cancellable is not None:
            Gio.Cancellable.set_error_if_cancelled(cancellable)

        with _delivery():
            started = _block(self.start_step, cancellable, lambda own: self.close())
            self._context = GLib.MainContext.ref_thread_default()
        return started

    def start_finish(self, result):
        started = super().start_finish(result)
        self._context = GLib.MainContext.ref_thread_default()
        return started

    def probe(self, cancellable=None):
        """Is to be awaited; returns when the threads of the library have responded."""
        _require_loop("probe", "call probe_async() with a GLib main loop")
        return _named(type(self).__name__ + ".probe", _call(self.probe_async, self.probe_finish, cancellable))

    def __enter__(self):
        try:
            if not self.active:
                self._start()
        except GLib.Error:
            raise
        except BaseException:
            # A signal's, after the start: nobody would close it.
            self.close()
            raise
        return self

    def __exit__(self, *exception):
        self.close()

    async def __aenter__(self):
        if not self.active:
            await self.start()
        return self

    async def __aexit__(self, *exception):
        self.close()


def _authorities(ca_file, ca_data):
    """A database of these certificates, in PEM form: a file, or what it would have in it."""
    if ca_file is not None and ca_data is not None:
        raise ValueError("one of ca_file and ca_data is enough")
    with contextlib.ExitStack() as stack:
        if ca_data is not None:
            file = stack.enter_context(tempfile.NamedTemporaryFile())
            file.write(ca_data.encode() if isinstance(ca_data, str) else ca_data)
            file.flush()
            ca_file = file.name
        return Gio.TlsFileDatabase.new(os.path.abspath(os.fsdecode(ca_file)))


@override
@_with_attributes
class Tunnel(TcpTunnel.Tunnel):
    _noun = "the tunnel"

    def __init__(self, remote_uri=None, token=None, hostname="127.0.0.1", port=0, *, ca_file=None, ca_data=None,
                 **properties):
        """`ca_file` names a file of the authorities to trust, in place of `tls_database`; `ca_data` is what would be in it."""
        if ca_file is not None or ca_data is not None:
            properties["tls_database"] = _authorities(ca_file, ca_data)
        super().__init__(remote_uri=remote_uri, token=token, hostname=hostname, port=port, **properties)

    def on_connection_state_change(self, callback):
        """Calls `callback` with each new state, until the function that is returned is called."""
        if not callable(callback):
            raise TypeError("the callback for states is a function, not %r" % (callback,))
        handler = self.connect("state-changed", lambda tunnel, state: callback(state))

        def unregister():
            if self.handler_is_connected(handler):
                self.disconnect(handler)

        return unregister

    def open_connection(self, target=None, limit=2**16):
        """A reader and a writer for a stream through the tunnel, as `asyncio.open_connection()` has them."""
        _require_loop("open_connection", "connect a socket to tunnel.address, or call open_async() with a GLib main loop")
        return _named(type(self).__name__ + ".open_connection", self._open_connection(target, limit))

    async def _open_connection(self, target, limit):
        loop = asyncio.get_running_loop()

        def begin(*rest):
            self.open_async(target, *rest)

        stream = await _call(begin, self.open_finish, None)
        # The stream has a descriptor of its own, which it closes.
        own = socket.socket(fileno=os.dup(stream.get_socket().get_fd()))
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        transport, protocol = await loop.create_connection(lambda: _Connection(stream, reader, loop), sock=own)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def adb_connect(self, adb="adb"):
        """Has adb connect to the tunnel, and gives what adb calls the device then, as for `adb -s`. It blocks;
        where an asyncio loop runs it is for `asyncio.to_thread()`."""
        # An address that stands for all is none to connect to.
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        address, port = self.address
        device = str(Address(loopback.get(address, address), port))
        # The server that adb may start lives on, and has no need of a token.
        environment = {name: value for name, value in os.environ.items() if name != "TCP_TUNNEL_TOKEN"}
        done = subprocess.run([adb, "connect", device], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        # The exit status of old versions is 0 in any case.
        if not any(line.startswith(("connected to ", "already connected to ")) for line in lines):
            raise ConnectionError("adb could not connect to %s: %s"
                                  % (device, lines[-1] if lines else "it does not say why"))
        return device


@override
@_with_attributes
class ReverseTunnel(TcpTunnel.ReverseTunnel):
    def __init__(self, remote_uri=None, token=None, target=None, **properties):
        super().__init__(remote_uri, token, target=_service(target), **properties)

    @property
    def remote_address(self):
        """Where the gateway listens, or None if it does not."""
        text = self.dup_remote_address()
        return None if text is None else _from_text(text)

    @property
    def address(self):
        """As `remote_address`; a GLib.Error if the gateway does not listen."""
        address = self.remote_address
        if address is None:
            raise WrongStateError("the gateway does not listen, and there is no address")
        return address


def _service(target):
    """That of a port alone is one of this machine."""
    return target if target is None or isinstance(target, str) else "127.0.0.1:%d" % _integer("target", target, 1, 65535)


@override
@_with_attributes
class Forward(_Checked, TcpTunnel.Forward):
    def __init__(self, port=0, target=None, **properties):
        super().__init__(port=port, target=target, **properties)

    @property
    def address(self):
        """Where it listens, by TCP; a GLib.Error if it does not."""
        return _tcp_address(self.dup_local_address(), "the forward")


@override
@_with_attributes
class Principal(_Checked, TcpTunnel.Principal):
    def __init__(self, name=None, tokens=None, **properties):
        super().__init__(name=name, tokens=tokens, **properties)


@override
@_with_attributes
class Authentication(_Checked, TcpTunnel.Authentication):
    def accept(self, principal, expires=None):
        """Lets the client in, until a time of GLib's or of Python's, which then says its zone."""
        return super().accept(principal, _date_time(expires))

    def reject(self, reason=None):
        return super().reject(reason)


def _date_time(time):
    if not isinstance(time, datetime.datetime):
        return time
    if time.tzinfo is None:
        raise ValueError("a time without a zone may be any: %r" % (time,))
    since = time - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    seconds, part = divmod(since, datetime.timedelta(seconds=1))
    return GLib.DateTime.new_from_unix_utc(seconds).add(part.microseconds)


_MAX_SOCKET_PATH = 107


def _listener(place):
    """An item of the property listeners: a pair of host and port, the path of a Unix socket, or an object of Gio's."""
    if isinstance(place, (Gio.Socket, Gio.SocketAddress, Gio.NetworkAddress)):
        return place
    if isinstance(place, (tuple, list)) and len(place) == 2 and isinstance(place[0], str):
        return Gio.NetworkAddress.new(place[0], _integer("port", place[1], 0, 65535))
    path = os.fsdecode(place) if isinstance(place, (str, bytes, os.PathLike)) else ""
    if "/" not in path:
        raise TypeError("a listener is a pair of host and port, a path with a slash, or an object of Gio, not %r" % (place,))
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
        # Gio would cut it off.
        raise ValueError("the path of a Unix socket has at most %d bytes: %r" % (_MAX_SOCKET_PATH, path))
    return Gio.UnixSocketAddress.new(path)


class _AuthenticateHandler(_Handler):
    """It rejects the client if it raises: the traceback keeps the authentication, so that the client would wait until it
    is answered that it took too long."""

    def _on_failure(self, instance, authentication, *user_data):
        authentication.reject("the application raised an exception")


@override
@_with_attributes
class Gateway(TcpTunnel.Gateway):
    _noun = "the gateway"

    def __init__(self, target=None, token=None, hostname="127.0.0.1", port=0, **properties):
        super().__init__(target=target, token=token, hostname=hostname, port=port, **properties)

    @property
    def addresses(self):
        """Where it listens: pairs of host and port, and paths of Unix sockets, that of `address` first."""
        return [_from_gio(address) for address in self.get_local_addresses()]

    @classmethod
    def _value(cls, name, value):
        """Principals and listeners may also be given as a list of Python's."""
        if name not in ("principals", "listeners") or value is None or isinstance(value, Gio.ListModel):
            return super()._value(name, value)
        if name == "listeners":
            store = Gio.ListStore.new(GObject.Object)
            for place in value:
                store.append(_listener(place))
            return store
        store = Gio.ListStore.new(Principal)
        for principal in value:
            if not isinstance(principal, Principal):
                raise TypeError("principals are TcpTunnel.Principal, not %r" % (principal,))
            store.append(principal)
        return store

    def _wrap_handler(self, signal_name, callback):
        return _AuthenticateHandler(callback) if signal_name == "authenticate" else super()._wrap_handler(signal_name, callback)

    def reload(self, cancellable=None):
        """Blocks until it has read everything again, or is to be awaited, as `start()`."""
        if _running_loop() is None:
            return super().reload(cancellable)
        call = _call(self.reload_async, self.reload_finish, cancellable)
        return _named(type(self).__name__ + ".reload", call)

    def drain(self, timeout, cancellable=None):
        """Blocks until it is drained, or is to be awaited, as `start()`."""
        timeout = _integer("timeout", timeout, 0, GLib.MAXUINT)
        if _running_loop() is None:
            return self._drain(timeout, cancellable)

        def begin(*rest):
            self._check_context()
            self.drain_async(timeout, *rest)

        return _named(type(self).__name__ + ".drain", _call(begin, self.drain_finish, cancellable))

    def _drain(self, timeout, cancellable):
        if cancellable is not None:
            Gio.Cancellable.set_error_if_cancelled(cancellable)

        def step(wait, cancellable):
            return self.drain_step(timeout, wait, cancellable)

        def undo(own):
            # Its answer is due at once, and then the next step gives it.
            with contextlib.suppress(GLib.Error):
                step(_PATIENCE_S * 1000, own)
                step(0, own)

        return _block(step, cancellable, undo)

    def _check_context(self):
        """Its end is told where it was started: the loop that runs has to be that."""
        here = GLib.MainContext.ref_thread_default()
        if self.active and self._context not in (None, here):
            raise WrongStateError("the gateway was not started in the asyncio loop that runs, which does not hear of its end: "
                               "await start() there, or call drain() where no loop runs")


async def start_tcp_tunnel(remote_uri, token, hostname="127.0.0.1", port=0, *, ca_file=None, ca_data=None, **properties):
    """Starts a tunnel, whose other properties are given by keyword."""
    tunnel = Tunnel(remote_uri, token, hostname, port, ca_file=ca_file, ca_data=ca_data, **properties)
    await tunnel.start()
    return tunnel


async def start_reverse_tcp_tunnel(remote_uri, token, target, **properties):
    """Starts a tunnel that shows a service of this end at the gateway; a port alone is one of this machine."""
    tunnel = ReverseTunnel(remote_uri, token, target, **properties)
    await tunnel.start()
    return tunnel
