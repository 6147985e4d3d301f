# SPDX-License-Identifier: LGPL-2.1-or-later
# What type checkers know of TcpTunnel. It goes with PyGObject-stubs, which know of the rest.
import os
from abc import ABCMeta
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, NoReturn, TypedDict, TypeVar, overload

from typing_extensions import Self, Unpack

from gi.repository import Gio, GLib, GObject

_EnumT = TypeVar("_EnumT", bound=GObject.GEnum)
_NameT = TypeVar("_NameT", bound=str)
_ItemT = TypeVar("_ItemT", bound=GObject.Object)

_ModeName = Literal["singleton", "multiplexed", "parallel", "auto"]
_ResumptionName = Literal["auto", "required", "off"]
_ProxyProtocolName = Literal["none", "v2"]
_ForwardKindName = Literal["target", "socks", "http-proxy"]
_LogLevelName = Literal["none", "error", "warn", "info", "debug"]
_AsyncReadyCallback = Callable[..., object]
_Listener = tuple[str, int] | str | bytes | os.PathLike[str] | Gio.Socket | Gio.SocketAddress | Gio.NetworkAddress

TUNNEL_MAJOR_VERSION: int
TUNNEL_MINOR_VERSION: int
TUNNEL_MICRO_VERSION: int
TUNNEL_UNLIMITED_ATTEMPTS: int

class TunnelState(GObject.GEnum):
    DISCONNECTED = 0
    CONNECTING = 1
    CONNECTED = 2
    RECONNECTING = 3

class TunnelMode(GObject.GEnum):
    SINGLETON = 0
    MULTIPLEXED = 1
    PARALLEL = 2
    AUTO = 3

class TunnelResumption(GObject.GEnum):
    AUTO = 0
    REQUIRED = 1
    OFF = 2

class ProxyProtocol(GObject.GEnum):
    NONE = 0
    V2 = 1

class TunnelLogLevel(GObject.GEnum):
    NONE = 0
    ERROR = 1
    WARN = 2
    INFO = 3
    DEBUG = 4

class ForwardKind(GObject.GEnum):
    TARGET = 0
    SOCKS = 1
    HTTP_PROXY = 2

class TunnelError(GObject.GEnum):
    INVALID_ARGUMENT = 0
    WRONG_STATE = 1
    LISTEN = 2
    UNREACHABLE = 3
    TLS = 4
    UNAUTHORIZED = 5
    REJECTED = 6
    TIMED_OUT = 7
    PROTOCOL = 8
    LOST = 9
    TARGET = 10
    RESET = 11
    CLOSED = 12
    LIMIT = 13
    FORBIDDEN = 14
    @staticmethod
    def quark() -> int: ...

def tunnel_error_quark() -> int: ...

class Error(GLib.Error):
    def __init__(self, message: str = "", domain: str | None = None, code: int | None = None) -> None: ...

class InvalidArgumentError(Error): ...
class WrongStateError(Error): ...
class ListenError(Error): ...
class UnreachableError(Error): ...
class TlsError(Error): ...
class UnauthorizedError(Error): ...
class RejectedError(Error): ...
class TimedOutError(Error): ...
class ProtocolError(Error): ...
class LostError(Error): ...
class TargetError(Error): ...
class ResetError(Error): ...
class ClosedError(Error): ...
class LimitError(Error): ...
class ForbiddenError(Error): ...

class Address(NamedTuple):
    host: str
    port: int

class _Token:
    def __get__(self, instance: object, owner: type | None = None) -> NoReturn: ...
    def __set__(self, instance: object, value: str | None) -> None: ...

class _Tokens:
    def __get__(self, instance: object, owner: type | None = None) -> NoReturn: ...
    def __set__(self, instance: object, value: Sequence[str] | None) -> None: ...

class _Model(Gio.ListModel, Generic[_ItemT]):
    """A list model whose items are of this type."""

    def __getitem__(self, position: int) -> _ItemT: ...
    def __iter__(self) -> Iterator[_ItemT]: ...
    def get_item(self, position: int) -> _ItemT | None: ...

class _Principals:
    """Set as a list of Python's too."""

    def __get__(self, instance: object, owner: type | None = None) -> _Model[Principal] | None: ...
    def __set__(self, instance: object, value: Gio.ListModel | Iterable[Principal] | None) -> None: ...

class _Listeners:
    """Set as a list of Python's too."""

    def __get__(self, instance: object, owner: type | None = None) -> Gio.ListModel | None: ...
    def __set__(self, instance: object, value: Gio.ListModel | Iterable[_Listener] | None) -> None: ...

class _Enum(Generic[_EnumT, _NameT]):
    """Read as a member, set as a member or by its name."""

    def __get__(self, instance: object, owner: type | None = None) -> _EnumT: ...
    def __set__(self, instance: object, value: _EnumT | _NameT) -> None: ...

# `start()`, `drain()` and `reload()`: to be awaited where an asyncio loop runs; elsewhere they have
# blocked, and it is True. Not simply a coroutine, since those must not be ignored.
class _Call(Coroutine[Any, Any, bool], metaclass=ABCMeta): ...

class Statistics(GObject.GBoxed):
    bytes_sent: int
    bytes_received: int
    open_connections: int
    total_connections: int
    reconnects: int
    resumes: int
    bytes_replayed: int
    unacknowledged_bytes: int
    receive_window: int
    send_window: int
    round_trip: float
    protocol: str | None
    def copy(self) -> Statistics: ...
    def free(self) -> None: ...

class GatewayMetrics(GObject.GBoxed):
    open_sessions: int
    max_sessions: int
    total_sessions: int
    open_websockets: int
    total_websockets: int
    websocket_time: float
    pending_connections: int
    accepted_connections: int
    dropped_connections: int
    refused_requests: int
    authentication_failures: int
    tls_handshakes: int
    tls_failures: int
    open_dials: int
    max_dials: int
    dials_connected: int
    dial_time: float
    dials_refused: int
    dials_unreachable: int
    dials_timed_out: int
    dials_unresolved: int
    dials_forbidden: int
    dials_limited: int
    max_connections: int
    memory: int
    max_memory: int
    hits_max_connections: int
    hits_max_memory: int
    hits_max_dials: int
    hits_max_principal_sessions: int
    hits_max_principal_connections: int
    hits_max_principal_dials: int
    hits_max_principal_dial_rate: int
    hits_descriptors: int
    hits_pending: int
    dropped_events: int
    def copy(self) -> GatewayMetrics: ...
    def free(self) -> None: ...
    def get_websocket_buckets(self) -> list[int]: ...
    def get_dial_buckets(self) -> list[int]: ...
    def get_bounds(self) -> list[float]: ...

class _ConnectionProperties:
    @property
    def id(self) -> int: ...
    @property
    def target(self) -> str | None: ...
    @property
    def principal(self) -> str | None: ...
    @property
    def opened(self) -> GLib.DateTime: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def resumes(self) -> int: ...
    @property
    def duration(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def error(self) -> GLib.Error | None: ...

class Connection(_ConnectionProperties, GObject.Object):
    class Props(_ConnectionProperties, GObject.Object.Props):
        @property
        def client_address(self) -> Gio.SocketAddress | None: ...
        @property
        def proxy_address(self) -> Gio.SocketAddress | None: ...

    @property
    def props(self) -> Props: ...
    @property
    def client_address(self) -> Address | str | None: ...
    @property
    def proxy_address(self) -> Address | str | None: ...
    def connect(self, signal_name: str, callback: Callable[..., Any], /, *user_data: object) -> int: ...
    def get_id(self) -> int: ...
    def get_client_address(self) -> Gio.SocketAddress | None: ...
    def get_closed(self) -> bool: ...
    def dup_error(self) -> GLib.Error | None: ...
    def close(self) -> None: ...

class _Properties:
    name: str | None
    log_level: _Enum[TunnelLogLevel, _LogLevelName]
    hostname: str | None
    port: int
    socket_path: str | None
    socket: Gio.Socket | None
    resumption: _Enum[TunnelResumption, _ResumptionName]
    connect_timeout: int
    keepalive_interval: int
    keepalive_timeout: int
    max_unacknowledged_bytes: int
    max_window_bytes: int
    max_connections: int
    reset_on_loss: bool
    @property
    def active(self) -> bool: ...

class _TunnelProperties(_Properties):
    remote_uri: str | None
    token: _Token
    authorization: _Token
    anonymous: bool
    subprotocols: list[str] | None
    origin: str | None
    connect_to: str | None
    mode: _Enum[TunnelMode, _ModeName]
    max_buffered_bytes: int
    max_reconnect_attempts: int
    wait_for_gateway: bool
    reconnect_delay: int
    max_reconnect_delay: int
    request_headers: list[str] | None
    proxy_resolver: Gio.ProxyResolver | None
    tls_database: Gio.TlsDatabase | None
    client_certificate: Gio.TlsCertificate | None
    target: str | None
    reverses: list[str] | None
    listen: bool
    @property
    def state(self) -> TunnelState: ...
    @property
    def last_error(self) -> GLib.Error | None: ...

class _ReverseTunnelProperties(_TunnelProperties):
    remote_port: int
    max_pending_bytes: int

class _GatewayProperties(_Properties):
    target: str | None
    token: _Token
    targets: list[str] | None
    allow: list[str] | None
    reverse_ports: list[str] | None
    proxy_protocol: _Enum[ProxyProtocol, _ProxyProtocolName]
    path: str | None
    route: str | None
    token_file: str | None
    principals: _Principals
    listeners: _Listeners
    trusted_proxies: list[str] | None
    tls_certificate: Gio.TlsCertificate | None
    client_ca: Gio.TlsDatabase | None
    session_timeout: int
    max_dials: int
    max_memory: int
    max_principal_sessions: int
    max_principal_connections: int
    max_principal_dials: int
    max_principal_memory: int
    max_principal_dial_rate: int
    max_principal_upload_rate: int
    max_principal_download_rate: int
    @property
    def uri(self) -> str | None: ...

class _Settings(TypedDict, total=False):
    name: str | None
    socket_path: str | None
    socket: Gio.Socket | None
    resumption: TunnelResumption | _ResumptionName
    log_level: TunnelLogLevel | _LogLevelName
    connect_timeout: int
    keepalive_interval: int
    keepalive_timeout: int
    max_unacknowledged_bytes: int
    max_window_bytes: int
    max_connections: int
    reset_on_loss: bool

class _EndpointSettings(_Settings, total=False):
    hostname: str | None
    port: int

class _DiallingSettings(_Settings, total=False):
    authorization: str | None
    anonymous: bool
    subprotocols: Sequence[str] | None
    origin: str | None
    connect_to: str | None
    mode: TunnelMode | _ModeName
    max_buffered_bytes: int
    max_reconnect_attempts: int
    wait_for_gateway: bool
    reconnect_delay: int
    max_reconnect_delay: int
    request_headers: Sequence[str] | None
    proxy_resolver: Gio.ProxyResolver | None
    tls_database: Gio.TlsDatabase | None
    client_certificate: Gio.TlsCertificate | None
    reverses: Sequence[str] | None
    listen: bool

class _TunnelSettings(_DiallingSettings, total=False):
    target: str | None

class _ReverseTunnelSettings(_DiallingSettings, total=False):
    hostname: str | None
    port: int
    remote_port: int
    max_pending_bytes: int

class _GatewaySettings(_Settings, total=False):
    targets: Sequence[str] | None
    allow: Sequence[str] | None
    reverse_ports: Sequence[str] | None
    proxy_protocol: ProxyProtocol | _ProxyProtocolName
    path: str | None
    route: str | None
    token_file: str | None
    principals: Gio.ListModel | Iterable[Principal] | None
    listeners: Gio.ListModel | Iterable[_Listener] | None
    trusted_proxies: Sequence[str] | None
    tls_certificate: Gio.TlsCertificate | None
    client_ca: Gio.TlsDatabase | None
    session_timeout: int
    max_dials: int
    max_memory: int
    max_principal_sessions: int
    max_principal_connections: int
    max_principal_dials: int
    max_principal_memory: int
    max_principal_dial_rate: int
    max_principal_upload_rate: int
    max_principal_download_rate: int

class Endpoint(_Properties, GObject.Object):
    class Props(_Properties, GObject.Object.Props):
        @property
        def local_address(self) -> Gio.SocketAddress | None: ...

    @property
    def props(self) -> Props: ...
    @property
    def local_address(self) -> Address | str | None: ...
    def __init__(self, **properties: Unpack[_EndpointSettings]) -> None: ...
    def get_active(self) -> bool: ...
    def get_local_address(self) -> Gio.SocketAddress | None: ...
    def get_statistics(self) -> Statistics: ...
    def get_connections(self) -> _Model[Connection]: ...
    @property
    def address(self) -> Address: ...
    def start(self, cancellable: Gio.Cancellable | None = None) -> _Call: ...
    def start_async(
        self, cancellable: Gio.Cancellable | None = None, callback: _AsyncReadyCallback | None = None, user_data: Any = None
    ) -> Any: ...
    def start_finish(self, result: Gio.AsyncResult) -> bool: ...
    def start_step(self, wait: int, cancellable: Gio.Cancellable) -> bool: ...
    def close(self) -> None: ...
    def close_async(
        self, cancellable: Gio.Cancellable | None = None, callback: _AsyncReadyCallback | None = None, user_data: Any = None
    ) -> Any: ...
    def close_finish(self, result: Gio.AsyncResult) -> bool: ...
    async def probe(self, cancellable: Gio.Cancellable | None = None) -> bool: ...
    def probe_async(
        self, cancellable: Gio.Cancellable | None = None, callback: _AsyncReadyCallback | None = None, user_data: Any = None
    ) -> Any: ...
    def probe_finish(self, result: Gio.AsyncResult) -> bool: ...
    @overload
    def connect(
        self, signal_name: Literal["connection-opened", "connection-closed"], callback: Callable[[Self, Connection], object], /
    ) -> int: ...
    @overload
    def connect(self, signal_name: str, callback: Callable[..., Any], /, *user_data: object) -> int: ...
    def connect_after(self, signal_name: str, callback: Callable[..., Any], /, *user_data: object) -> int: ...
    def connect_object(self, signal_name: str, callback: Callable[..., Any], instance: object, /, *user_data: object) -> int: ...
    def connect_object_after(
        self, signal_name: str, callback: Callable[..., Any], instance: object, /, *user_data: object
    ) -> int: ...
    def connect_data(
        self, detailed_signal: str, handler: Callable[..., Any], *data: object, connect_flags: GObject.ConnectFlags = ...
    ) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

class Tunnel(Endpoint, _TunnelProperties):
    class Props(_TunnelProperties, Endpoint.Props): ...

    @property
    def props(self) -> Props: ...
    def __init__(
        self,
        remote_uri: str | None = None,
        token: str | None = None,
        hostname: str | None = "127.0.0.1",
        port: int = 0,
        *,
        ca_file: str | bytes | os.PathLike[str] | None = None,
        ca_data: str | bytes | None = None,
        **properties: Unpack[_TunnelSettings],
    ) -> None: ...
    @classmethod
    def new(cls, remote_uri: str | None = None, token: str | None = None) -> Tunnel: ...
    def on_connection_state_change(self, callback: Callable[[TunnelState], object]) -> Callable[[], None]: ...
    def adb_connect(self, adb: str = "adb") -> str: ...
    async def open_connection(
        self, target: str | None = None, limit: int = ...
    ) -> tuple[StreamReader, StreamWriter]: ...
    def open_async(
        self,
        target: str | None = None,
        cancellable: Gio.Cancellable | None = None,
        callback: _AsyncReadyCallback | None = None,
        user_data: Any = None,
    ) -> Any: ...
    def open_finish(self, result: Gio.AsyncResult) -> Gio.IOStream: ...
    def add_forward(self, forward: Forward) -> bool: ...
    def remove_forward(self, forward: Forward) -> None: ...
    def get_forwards(self) -> list[Forward]: ...
    @overload
    def connect(
        self, signal_name: Literal["state-changed"], callback: Callable[[Self, TunnelState], object], /
    ) -> int: ...
    @overload
    def connect(
        self, signal_name: Literal["retry-scheduled"], callback: Callable[[Self, GLib.Error, int, int], object], /
    ) -> int: ...
    @overload
    def connect(
        self, signal_name: Literal["connection-opened", "connection-closed"], callback: Callable[[Self, Connection], object], /
    ) -> int: ...
    @overload
    def connect(self, signal_name: Literal["token-required"], callback: Callable[[Self], object], /) -> int: ...
    @overload
    def connect(self, signal_name: Literal["failed"], callback: Callable[[Self, GLib.Error], object], /) -> int: ...
    @overload
    def connect(self, signal_name: str, callback: Callable[..., Any], /, *user_data: object) -> int: ...
    def set_token(self, token: str | None = None) -> None: ...
    def get_state(self) -> TunnelState: ...
    def dup_last_error(self) -> GLib.Error | None: ...

class ReverseTunnel(Tunnel, _ReverseTunnelProperties):
    class Props(_ReverseTunnelProperties, Tunnel.Props):
        @property
        def remote_address(self) -> str | None: ...

    @property
    def props(self) -> Props: ...
    @property
    def remote_address(self) -> Address | None: ...
    def __init__(
        self,
        remote_uri: str | None = None,
        token: str | None = None,
        target: str | int | None = None,
        **properties: Unpack[_ReverseTunnelSettings],
    ) -> None: ...
    @classmethod
    def new(cls, remote_uri: str | None = None, token: str | None = None, target: str | None = None) -> ReverseTunnel: ...
    def dup_remote_address(self) -> str | None: ...

class _ForwardProperties:
    hostname: str | None
    port: int
    socket_path: str | None
    socket: Gio.Socket | None
    target: str | None
    kind: _Enum[ForwardKind, _ForwardKindName]

class _ForwardSettings(TypedDict, total=False):
    kind: ForwardKind | _ForwardKindName
    hostname: str | None
    socket_path: str | None
    socket: Gio.Socket | None

class Forward(_ForwardProperties, GObject.Object):
    class Props(_ForwardProperties, GObject.Object.Props):
        @property
        def local_address(self) -> Gio.SocketAddress | None: ...

    @property
    def props(self) -> Props: ...
    @property
    def local_address(self) -> Address | str | None: ...
    def __init__(self, port: int = 0, target: str | None = None, **properties: Unpack[_ForwardSettings]) -> None: ...
    @classmethod
    def new(cls, port: int, target: str | None = None) -> Forward: ...
    @classmethod
    def new_proxy(cls, kind: ForwardKind, port: int) -> Forward: ...
    @property
    def address(self) -> Address: ...
    def dup_local_address(self) -> Gio.SocketAddress | None: ...
    def connect(self, signal_name: str, callback: Callable[..., Any], /, *user_data: object) -> int: ...

class _PrincipalProperties:
    name: str | None
    allow: list[str] | None
    tokens: _Tokens
    max_sessions: int
    max_connections: int
    max_dials: int
    max_memory: int
    dial_rate: int
    upload_rate: int
    download_rate: int

class _PrincipalSettings(TypedDict, total=False):
    allow: Sequence[str] | None
    max_sessions: int
    max_connections: int
    max_dials: int
    max_memory: int
    dial_rate: int
    upload_rate: int
    download_rate: int

class Principal(_PrincipalProperties, GObject.Object):
    class Props(_PrincipalProperties, GObject.Object.Props): ...

    @property
    def props(self) -> Props: ...
    def __init__(self, name: str | None = None, tokens: Sequence[str] | None = None, **properties: Unpack[_PrincipalSettings]) -> None: ...
    @classmethod
    def new(cls, name: str) -> Principal: ...
    def connect(self, signal_name: str, callback: Callable[..., Any], /, *user_data: object) -> int: ...

class _AuthenticationProperties:
    @property
    def certificate(self) -> Gio.TlsCertificate | None: ...
    @property
    def path(self) -> str: ...

class Authentication(_AuthenticationProperties, GObject.Object):
    class Props(_AuthenticationProperties, GObject.Object.Props):
        @property
        def client_address(self) -> Gio.SocketAddress | None: ...
        @property
        def proxy_address(self) -> Gio.SocketAddress | None: ...

    @property
    def props(self) -> Props: ...
    @property
    def client_address(self) -> Address | str | None: ...
    @property
    def proxy_address(self) -> Address | str | None: ...
    def connect(self, signal_name: str, callback: Callable[..., Any], /, *user_data: object) -> int: ...
    def dup_token(self) -> str | None: ...
    def get_certificate(self) -> Gio.TlsCertificate | None: ...
    def get_client_address(self) -> Gio.SocketAddress | None: ...
    def get_proxy_address(self) -> Gio.SocketAddress | None: ...
    def dup_path(self) -> str: ...
    def accept(self, principal: str, expires: GLib.DateTime | datetime | None = None) -> bool: ...
    def reject(self, reason: str | None = None) -> bool: ...

class Gateway(Endpoint, _GatewayProperties):
    class Props(_GatewayProperties, Endpoint.Props): ...

    @property
    def props(self) -> Props: ...
    def __init__(
        self,
        target: str | None = None,
        token: str | None = None,
        hostname: str | None = "127.0.0.1",
        port: int = 0,
        **properties: Unpack[_GatewaySettings],
    ) -> None: ...
    @classmethod
    def new(cls, target: str | None = None) -> Gateway: ...
    def drain(self, timeout: int, cancellable: Gio.Cancellable | None = None) -> _Call: ...
    def drain_async(
        self,
        timeout: int,
        cancellable: Gio.Cancellable | None = None,
        callback: _AsyncReadyCallback | None = None,
        user_data: Any = None,
    ) -> Any: ...
    def drain_finish(self, result: Gio.AsyncResult) -> bool: ...
    def drain_step(self, timeout: int, wait: int, cancellable: Gio.Cancellable) -> bool: ...
    def check(self, cancellable: Gio.Cancellable | None = None) -> list[str]: ...
    def reload(self, cancellable: Gio.Cancellable | None = None) -> _Call: ...
    def reload_async(
        self,
        cancellable: Gio.Cancellable | None = None,
        callback: _AsyncReadyCallback | None = None,
        user_data: Any = None,
    ) -> Any: ...
    def reload_finish(self, result: Gio.AsyncResult) -> bool: ...
    def suspend_async(
        self,
        cancellable: Gio.Cancellable | None = None,
        callback: _AsyncReadyCallback | None = None,
        user_data: Any = None,
    ) -> Any: ...
    def suspend_finish(self, result: Gio.AsyncResult) -> int: ...
    def resume(self) -> None: ...
    def hand_over(self) -> bool: ...
    def adopt(self, fd: int) -> bool: ...
    def set_token(self, token: str | None = None) -> None: ...
    @overload
    def connect(
        self, signal_name: Literal["connection-opened", "connection-closed"], callback: Callable[[Self, Connection], object], /
    ) -> int: ...
    @overload
    def connect(
        self, signal_name: Literal["authenticate"], callback: Callable[[Self, Authentication], object], /
    ) -> int: ...
    @overload
    def connect(self, signal_name: str, callback: Callable[..., Any], /, *user_data: object) -> int: ...
    @property
    def addresses(self) -> list[Address | str]: ...
    def get_local_addresses(self) -> list[Gio.SocketAddress]: ...
    def get_metrics(self) -> GatewayMetrics: ...
    def dup_uri(self) -> str | None: ...

async def start_tcp_tunnel(
    remote_uri: str,
    token: str | None,
    hostname: str = "127.0.0.1",
    port: int = 0,
    *,
    ca_file: str | bytes | os.PathLike[str] | None = None,
    ca_data: str | bytes | None = None,
    **properties: Unpack[_TunnelSettings],
) -> Tunnel: ...

async def start_reverse_tcp_tunnel(
    remote_uri: str,
    token: str | None,
    target: str | int,
    **properties: Unpack[_ReverseTunnelSettings],
) -> ReverseTunnel: ...

class AuthenticationClass: ...
class ConnectionClass: ...
class EndpointClass: ...
class ForwardClass: ...
class TunnelClass: ...
class ReverseTunnelClass: ...
class GatewayClass: ...
class PrincipalClass: ...
