# SPDX-License-Identifier: LGPL-2.1-or-later
"""Typical mistakes, each with the message of the command.

A row consists of what the user did, the arguments, a part of the message that has to appear word by word, and the
exit status. In both texts, {names} stand for servers on loopback and for files, see Places. 'dial URL' is 'connect
URL' in multiplexed mode, which fails with the first attempt.
"""

import collections
import os
import re
import shlex
import socket
import ssl
import subprocess
import tempfile
import unittest

from support import BINARY, DEADLINE, TOKEN, Command, Service, environment, gateway, knock, listening, receive, run, skip

FAILED = 1
USAGE = 2

Row = collections.namedtuple('Row', 'did args says status env')


def row(did, args, says, status=FAILED, **env):
    return Row(did, args, says, status, env)


def usage(did, args, says, **env):
    return Row(did, args, says, USAGE, env)


NOT_VALID = 'the URL of the gateway is not valid: '

URLS = [
    usage('an IPv6 address without brackets', 'connect ws://::1:7001/',
          NOT_VALID + 'an IPv6 address goes in brackets; did you mean ws://[::1]:7001/ or ws://[::1:7001]/?'),
    usage('an IPv6 address without brackets or port', 'connect wss://2001:db8::1',
          NOT_VALID + 'an IPv6 address goes in brackets; did you mean wss://[2001:db8::1]/?'),
    usage('a bracket forgotten', 'connect ws://[::1/', 'the text in brackets is not an IPv6 address'),
    usage('the scope as ping takes it', 'connect ws://[fe80::1%eth0]/',
          'in a URL the scope of an IPv6 address follows %25, as in [fe80::1%25eth0]'),
    usage('the URL of the browser', 'connect https://example.org/t',
          'the URL of the gateway must begin with ws:// or wss://: write wss:// in place of https://'),
    usage('the URL of curl', 'connect http://127.0.0.1:8080/', 'write ws:// in place of http://'),
    usage('another scheme', 'connect tcp://127.0.0.1:22', 'must begin with ws:// or wss://, not with tcp://'),
    usage('a typing error in the scheme', 'connect wsss://example.org/', 'not with wsss://'),
    usage('no scheme', 'connect example.org:443',
          "'example.org:443' is not a URL; did you mean wss://example.org:443/? And as a NAME: there is no config file"),
    usage('a host alone', 'connect example.org',
          "'example.org' is neither a URL such as wss://example.org/ nor a NAME: there is no config file"),
    usage('one slash', 'connect wss:/example.org/', NOT_VALID + 'it has to begin with wss://'),
    usage('no slash', 'connect ws:localhost:8080', NOT_VALID + 'it has to begin with ws://'),
    usage('no colon', 'connect wss//example.org/', NOT_VALID + 'it has to begin with wss://'),
    usage('backslashes', r"connect 'wss:\\example.org\t'", NOT_VALID + 'it has a backslash in it; write /'),
    usage('no host', 'connect ws:///t', NOT_VALID + 'it has no host'),
    usage('a port alone', 'connect ws://:8080/', NOT_VALID + 'it has no host'),
    usage('a port too high', 'connect ws://localhost:80800/', NOT_VALID + 'its port is not a number from 1 to 65535'),
    usage('a port that is a word', 'connect ws://localhost:http/', NOT_VALID + 'its port is not a number from 1 to 65535'),
    usage('two ports', 'connect ws://localhost:80:8080/', NOT_VALID + 'there is more than one colon after the host'),
    usage('two schemes', 'connect wss://https://example.org/', 'it has a second scheme; write wss:// once'),
    usage('a comma for a colon', 'connect ws://localhost,8080/', NOT_VALID + "its host has a ',' in it"),
    usage('a host that is encoded', 'connect ws://example%2eorg/', NOT_VALID + "its host has a '%' in it"),
    usage('a line break in the scope', 'connect ws://[fe80::1%25eth0%0d%0ax]/',
          NOT_VALID + 'its host, or the scope of its IPv6 address, has a character in it that no host name has'),
    usage('a pattern', 'connect ws://*:8080/', NOT_VALID + "its host has a '*' in it"),
    usage('a space behind it', "connect 'ws://localhost/ '", NOT_VALID + 'it has a space in it; leave it out, or write %20'),
    usage('a line break in it', "connect 'ws://localhost/\n'", 'it has a line break or another control character in it'),
    usage('quoted twice', """connect '"ws://localhost/"'""", 'it has a quotation mark or an angle bracket in it; leave it out'),
    usage('angle brackets of a mail', "connect '<wss://example.org/>'", 'it has a quotation mark or an angle bracket in it'),
    usage('a dash of a text processor', 'connect wss://my–host.example/',
          'the dash U+2013 in it is not the hyphen of the keyboard; write -'),
    usage('an invisible character of a web page', 'connect wss://example.org/\u200b', 'it has the invisible character U+200B in it'),
    usage('user and password', f'connect wss://me:{TOKEN}@example.org/',
          NOT_VALID + 'it has a user name or a password in it; leave it out, as the token is what authorises'),
    usage('a fragment', 'connect wss://example.org/#top', 'a # in it would begin a part that is not sent'),
    usage('a percent sign', 'connect wss://example.org/100%', 'a % in it is not followed by two hexadecimal digits'),
    usage('nothing', "connect ''", "'' is neither a URL such as wss://example.org/ nor a NAME"),
]

OPTIONS = [
    usage('no command', 'ws://127.0.0.1:1/', "there is no command 'ws://127.0.0.1:1/'; did you mean 'tcp-tunnel connect URL'?"),
    usage('a typing error in the command', 'conect ws://127.0.0.1:1/', "there is no command 'conect'; did you mean 'connect'?"),
    usage('options before the command', '--listen 8080 connect ws://127.0.0.1:1/', "'--listen'; options follow the command"),
    usage('no URL', 'connect', 'the URL of the gateway is missing, such as wss://example.org/, or the NAME of a tunnel'),
    usage('two URLs', 'connect ws://127.0.0.1:1/ ws://127.0.0.1:2/', "'ws://127.0.0.1:2/' is one too many"),
    usage('a typing error in an option', 'connect ws://127.0.0.1:1/ --lisen 80',
          "there is no option '--lisen'; did you mean '--listen'?"),
    usage('one hyphen', 'connect ws://127.0.0.1:1/ -listen 80', "there is no option '-listen'; did you mean '--listen'?"),
    usage('a dash of a text processor', 'connect ws://127.0.0.1:1/ —listen 80',
          "'—listen' begins with the dash U+2014; an option begins with two hyphens, --"),
    usage('an option without its value', 'connect ws://127.0.0.1:1/ --listen', 'Missing argument for --listen'),
    usage('a mode of another program', 'connect ws://127.0.0.1:1/ --mode mux',
          "--mode must be one of singleton, multiplexed, parallel, auto, not 'mux'"),
    usage('half a word', 'connect ws://127.0.0.1:1/ --mode multi', "not 'multi'; did you mean 'multiplexed'?"),
    usage('a log level of another program', 'connect ws://127.0.0.1:1/ --log-level verbose',
          "--log-level must be one of none, error, warn, info, debug, not 'verbose'"),
    usage('a duration that is none', 'connect ws://127.0.0.1:1/ --reconnect-delay soon',
          '--reconnect-delay must be a duration such as 500ms, 10s, 2min or 1h'),
    usage('a number that is none', 'connect ws://127.0.0.1:1/ --max-reconnect-attempts often',
          '--max-reconnect-attempts must be '),
    usage('a header without a colon', f"connect ws://127.0.0.1:1/ --header 'X-Key {TOKEN}'",
          "--header must be 'NAME: VALUE', but number 1 is not"),
    usage('a header of the tunnel', "connect ws://127.0.0.1:1/ --header 'Upgrade: h2c'",
          'the request header Upgrade is set by the tunnel itself'),
    usage('a header beside the token', f"connect ws://127.0.0.1:1/ --token {TOKEN} --header 'Authorization: Bearer {TOKEN}'",
          '--token and --header with Authorization exclude each other'),
    usage('no token beside one', f'connect ws://127.0.0.1:1/ --no-token --token {TOKEN}',
          '--token and --no-token exclude each other'),
    usage('two authorizations', f"connect ws://127.0.0.1:1/ --header 'authorization: a' --header 'Authorization: {TOKEN}'",
          '--header has more than one Authorization'),
    usage('a header that has a property', "connect ws://127.0.0.1:1/ --header 'Sec-WebSocket-Protocol: binary'",
          'the request header Sec-WebSocket-Protocol is set by the property subprotocols'),
    usage('a subprotocol that is none', "connect ws://127.0.0.1:1/ --subprotocol 'a b'", 'the subprotocol “a b” is no name'),
    usage('a comma too many', "connect ws://127.0.0.1:1/ --subprotocol 'binary,'",
          '--subprotocol must be a name, or several with commas between them'),
    usage('a way without a port', 'connect ws://127.0.0.1:1/ --connect-to example.org',
          'connect-to “example.org” is not of the form HOST:PORT'),
    usage('a key without a certificate', 'connect ws://127.0.0.1:1/ --client-key /dev/null',
          '--client-key needs --client-cert, or client-cert in the file'),
    usage('a certificate that is none', 'connect ws://127.0.0.1:1/ --client-cert /dev/null',
          '--client-cert /dev/null is not a certificate in PEM form with its key: '),
    usage('stdio and a port', 'connect ws://127.0.0.1:1/ --stdio --listen 80', '--stdio and --listen exclude each other'),
    usage('stdio and events', 'connect ws://127.0.0.1:1/ --stdio --json', '--stdio and --json exclude each other'),
    usage('stdio and a hook', 'connect ws://127.0.0.1:1/ --stdio --on-ready true', '--stdio and --on-ready exclude each other'),
    usage('no- before an option', 'connect ws://127.0.0.1:1/ --no-wait', "there is no option '--no-wait'; did you mean '--wait=no'?"),
    usage('an option of connect for up', 'up --max-reconnect-attempts 3',
          "there is no option '--max-reconnect-attempts'; in the config file it is a key of a tunnel"),
    usage('an option of connect for the gateway', 'gateway --target 127.0.0.1:1 --mode multiplexed',
          "there is no option '--mode'; 'tcp-tunnel connect' has such an option"),
    usage('stdio of several tunnels', 'up --stdio', "there is no option '--stdio'"),
]

TOKENS = [
    usage('no token', 'connect ws://127.0.0.1:1/',
          'a token is needed: give --token-file FILE, --token-command CMD or --token TOKEN, or set TCP_TUNNEL_TOKEN',
          TCP_TUNNEL_TOKEN=None),
    usage('an empty token', "connect ws://127.0.0.1:1/ --token ''", '--token holds no token'),
    usage('two sources', 'connect ws://127.0.0.1:1/ --token x --token-file {good}', '--token-file and --token exclude each other'),
    usage('a file that is not there', 'connect ws://127.0.0.1:1/ --token-file {directory}/none', '/none: No such file or directory'),
    usage('a directory', 'connect ws://127.0.0.1:1/ --token-file {directory}', ': Is a directory'),
    usage('an empty file', 'connect ws://127.0.0.1:1/ --token-file {empty}', 'empty holds no token'),
    usage('the file of a gateway', 'connect ws://127.0.0.1:1/ --token-file {tokens}',
          'a token is one line of printable ASCII without spaces; is this the token file of a gateway?'),
    usage('a zero byte', 'connect ws://127.0.0.1:1/ --token-file {zero}', 'zero is not a text file'),
    usage('something much larger', 'connect ws://127.0.0.1:1/ --token-file /dev/zero', '/dev/zero has more than 65536 bytes'),
    row('a token command that fails', "dial ws://127.0.0.1:1/ --token-command 'exit 3'",
        '--token-command: the command ended with exit status 3', TCP_TUNNEL_TOKEN=None),
    row('a token command that prints more', "dial ws://127.0.0.1:1/ --token-command 'echo the token'",
        '--token-command: a token is one line of printable ASCII without spaces', TCP_TUNNEL_TOKEN=None),
    row('the wrong token', 'dial {gateway} --token wrong', 'the gateway {gateway} refused the token (401 Unauthorized from libtcptunnel/{version}); of a line NAME:TOKEN'),
    row('a line of the file of a gateway', 'dial {gateway} --token alice:other',
        'there is a colon in the token: of a line NAME:TOKEN for a gateway, the tunnel needs the TOKEN alone'),
]

LISTEN = [
    usage('no port', 'connect ws://127.0.0.1:1/ --listen localhost',
          "--listen must be HOST:PORT, [IPV6]:PORT, PORT (0 to 65535), unix:PATH or systemd:NAME, not 'localhost'"),
    usage('an IPv6 address without brackets', 'connect ws://127.0.0.1:1/ --listen ::1:80', "[IPV6]:PORT, PORT (0 to 65535), unix:PATH or systemd:NAME, not '::1:80'"),
    usage('a path without unix:', 'connect ws://127.0.0.1:1/ --listen /run/x', "unix:PATH or systemd:NAME, not '/run/x'"),
    usage('a URL', 'gateway --target 127.0.0.1:1 --listen ws://127.0.0.1:80/', "--listen must be HOST:PORT, [IPV6]:PORT, PORT (0 to 65535), unix:PATH or systemd:NAME, not 'ws://"),
    row('a port in use', 'connect ws://127.0.0.1:1/ --listen {taken}',
        'Address already in use; another program or listener has this port: choose another, or 0 for any that is free'),
    row('a port in use, of the gateway', 'gateway --target 127.0.0.1:1 --listen {taken}',
        'Address already in use; another program or listener has this port: choose another, or 0 for any that is free'),
    row('the address of another machine', 'connect ws://127.0.0.1:1/ --listen 192.0.2.1:0',
        'cannot listen on 192.0.2.1 port 0: Cannot assign requested address; it has to be an address of this machine, '
        'such as 127.0.0.1, or 0.0.0.0 for all that it has'),
    row('a pattern', "connect ws://127.0.0.1:1/ --listen '*:0'", 'or 0.0.0.0 for all that it has'),
    row('a directory that is not there', 'connect ws://127.0.0.1:1/ --listen unix:{directory}/none/socket',
        '/none/socket: No such file or directory; create its directory first'),
    usage('a path too long', 'connect ws://127.0.0.1:1/ --listen unix:/' + 'x' * 200, 'the path of the Unix socket to listen on is too long'),
]

GATEWAY = [
    usage('no target', 'gateway --listen 0', '--target HOST:PORT is missing, the TCP service to connect to'),
    usage('a target without a port', 'gateway --target localhost',
          'the target “localhost” is not of the form HOST:PORT, such as 127.0.0.1:22 or [::1]:22'),
    usage('a target that is a URL', 'gateway --target http://localhost:80/', 'is not of the form HOST:PORT'),
    usage('an IPv6 target without brackets', 'gateway --target ::1:22', 'such as 127.0.0.1:22 or [::1]:22'),
    usage('the URL that clients use', 'gateway ws://127.0.0.1:8080/ --target 127.0.0.1:1', 'is one argument too many; this command takes only options'),
    usage('a file that has no end', 'gateway --config /dev/zero', 'the config file /dev/zero cannot be read: it has more than 67108864 bytes'),
    usage('a certificate without a key', 'gateway --target 127.0.0.1:1 --tls-cert {ca}', '--tls-cert needs --tls-key as well'),
    usage('a certificate for a key', 'gateway --target 127.0.0.1:1 --tls-cert {ca} --tls-key {ca}', 'private key'),
    row('a certificate with the key of another', 'gateway --target 127.0.0.1:1 --tls-cert {own_cert} --tls-key {other_key}',
        '--tls-cert {own_cert}, --tls-key {other_key}: the certificate cannot be used, probably because the private key does not match it'),
    usage('no token', 'gateway --target 127.0.0.1:1',
          'a token is needed: give --token-file FILE or --token TOKEN, or set TCP_TUNNEL_TOKEN', TCP_TUNNEL_TOKEN=None),
    usage('the token file of a tunnel', 'gateway --target 127.0.0.1:1 --token-file {good}', 'good:1: not of the form NAME:TOKEN'),
    usage('a token file that is not there', 'gateway --target 127.0.0.1:1 --token-file {directory}/none', '/none: No such file or directory'),
    usage('a zero byte in a token file', 'gateway --target 127.0.0.1:1 --token-file {zero}', 'zero:1: the line contains a zero byte'),
    usage('one token for two', 'gateway --target 127.0.0.1:1 --token-file {shared}', 'shared:2: “alice” and “bob” have the same token'),
    usage('a path without its slash', 'gateway --target 127.0.0.1:1 --path instance', "--path must be the path of a URL, such as /v1/device, or '*' for any"),
    usage('memory with a unit', 'gateway --target 127.0.0.1:1 --max-memory 1G', "--max-memory must be a whole number from 8 to 16777216, not '1G'"),
    usage('a duration that is none', 'gateway --target 127.0.0.1:1 --session-timeout never', '--session-timeout must be a duration such as'),
]

REACHING = [
    row('a gateway that does not run', 'dial ws://{refused}/',
        'Connection refused; nothing listens there: check whether the gateway runs, and host and port of the URL'),
    row('a typing error in the name', 'dial ws://no..such.name/', '; check the host in the URL, and the network'),
    row('the SSH server itself', 'dial ws://{ssh}/',
        'does not speak HTTP: its answer begins with “SSH-2.0-Test”; the URL must be that of a gateway, not of the SSH server behind it'),
    row('Redis itself', 'dial ws://{redis}/', "its answer begins with “-ERR unknown command 'GET'”; the URL must be that of a gateway"),
    row('an echo service', 'dial ws://{echo}/', 'sends back what it receives: the URL must be that of a gateway, not of an echo service'),
    row('a server that speaks in bytes', 'dial ws://{binary}/', 'its answer begins with the bytes 00 00 12 07 00 00 00 00;'),
    row('a server that ends at once', 'dial ws://{mute}/', '; it ended the connection without an answer; if the port expects TLS, try wss://'),
    row('a server that breaks off', 'dial ws://{torn}/', 'sent an incomplete or invalid HTTP answer: '),
    row('a handshake of something else', 'dial ws://{strange}/', 'is not a WebSocket server: its Sec-WebSocket-Accept does not belong to the request'),
    row('a web server', 'dial ws://{http_200}/', 'answered, but not with a WebSocket (200 OK); this may be a web server, or the login page of a network'),
    row('a redirect to TLS', 'dial ws://{http_301}/t', 'redirects to wss://example.org/t (301 Moved); redirects are not followed: use that as the URL'),
    row('a redirect to a login', 'dial ws://{http_302}/t', 'redirects to ws://{http_302}/login (302 Found); redirects are not followed'),
    row('a permanent redirect without a place', 'dial ws://{http_308}/t', 'redirects elsewhere (308 Permanent); redirects are not followed: check the URL'),
    row('plain HTTP to the TLS port of nginx', 'dial ws://{http_400}/', '(400 Bad Request); if this port expects TLS, try wss://'),
    row('a web server with a password', 'dial ws://{http_401}/',
        'refused the token (401 Unauthorized); it asks for a password in its place (Basic)'),
    row('a firewall of a website', 'dial ws://{http_403}/', 'refused access (403 Forbidden); a rule there, or of a proxy in front of it'),
    row('a path that is not there', 'dial {gateway}instance?key=secret',
        "the gateway {gateway}instance has nothing at this path (404 Not Found from libtcptunnel/{version}); the path tried is /instance, and 'tcp-tunnel gateway' serves that of --path, or else /"),
    row('a web server that takes no GET', 'dial ws://{http_405}/', '(405 Not Allowed); this may be a web server'),
    row('a proxy without WebSockets', 'dial ws://{http_426}/', '(426 Upgrade Required); either a proxy in front of it does not pass on Upgrade and Connection'),
    row('too many requests', 'dial ws://{http_429}/', 'has too many requests (429 Too Many Requests); it asks to wait for 7 s'),
    row('a server that fails', 'dial ws://{http_500}/', 'failed (500 Internal Server Error); its log, or that of a proxy in front of it, may say why'),
    row('a proxy whose gateway is gone', 'dial ws://{http_502}/', 'failed (502 Bad Gateway); a proxy in front of it answers, which does not reach it'),
    row('a gateway that is busy', 'dial ws://{http_503}/', 'is not available now (503 Service Unavailable); it asks to wait for 5 s'),
    row('a proxy whose gateway is stuck', 'dial ws://{http_504}/', 'failed (504 Gateway Timeout); a proxy in front of it answers'),
    row('the wrong port in the query', 'dial {gateway}?port=x', 'does not understand the request (400 Bad Request from libtcptunnel/{version})'),
    row('resumption with a gateway of another make', 'dial {plain} --resumption required',
        'cannot resume sessions (it does not speak resumable/1), which is required'),
    row('a gateway that insists on resumption', 'dial {insistent} --resumption off', '(426 Upgrade Required from libtcptunnel/{version})'),
    row('a proxy that is gone', 'dial ws://gateway.test/',
        'Could not connect to proxy server 127.0.0.1: Connection refused; the proxy is that of the environment or the '
        'desktop; no_proxy names hosts to reach without one', http_proxy='http://{refused}'),
    row('a proxy that does not allow it', 'dial wss://gateway.test/',
        'the proxy http://{http_403} did not connect to the gateway wss://gateway.test/: HTTP proxy connection not allowed; '
        'it forbids this host or port; no_proxy names hosts', https_proxy='http://{http_403}'),
    row('a proxy that wants a password', 'dial wss://gateway.test/',
        'HTTP proxy authentication required; it asks for a password: write its URL as http://USER:PASSWORD@HOST:PORT',
        https_proxy='http://{http_407}'),
    row('a proxy that wants another password', 'dial ws://gateway.test/',
        'the proxy http://{http_407} did not connect to the gateway ws://gateway.test/: HTTP proxy authentication failed; '
        'check user name and password in its URL', http_proxy='http://me:pa%40ss@{http_407}'),
    row('a proxy that does not know the gateway', 'dial ws://gateway.test/',
        'the proxy http://{http_404} did not connect to the gateway ws://gateway.test/: HTTP proxy connection failed: 404',
        http_proxy='http://{http_404}'),
    row('a proxy that does not reach the gateway', 'dial wss://gateway.test/',
        'HTTP proxy connection failed: 502; no_proxy names hosts to reach without one', https_proxy='http://{http_502}'),
    row('a host without the proxy', 'dial ws://{http_429}/', 'the gateway ws://{http_429}/ has too many requests',
        http_proxy='http://{refused}', no_proxy='127.0.0.1'),
    row('a server of HTTP/2 alone', 'dial ws://{http2}/', 'speaks only HTTP/2, and this WebSocket needs HTTP/1.1'),
]

TLS = [
    row('an expired certificate', 'dial wss://{tls_expired}/ --ca {ca}', 'the certificate expired on 2001-02-03 04:05 UTC (the clock here says 20'),
    row('an expired certificate of an authority', 'dial wss://{tls_below}/ --ca {ca}',
        'the certificate of the authority “CN=authority” expired on 2001-02-03 04:05 UTC (the clock here says 20'),
    row('a clock that is wrong', 'dial wss://{tls_early}/ --ca {ca}', 'the certificate is not valid before 2098-07-06 05:04 UTC (the clock here says 20'),
    row('another host', 'dial wss://{tls_other}/ --ca {ca}', 'the certificate is for example.org, *.example.net, not for the address 127.0.0.1'),
    row('an address that is written as a name', 'dial wss://{tls_name}/ --ca {ca}', 'is for the name 127.0.0.1, not for the address 127.0.0.1'),
    row('an authority of your own', 'dial wss://{tls_good}/',
        'the certificate was issued by “CN=An authority”, an authority that is not trusted here; to trust it, give its certificate with --ca FILE, or set the property tls-database'),
    row('a certificate of its own', 'dial wss://{tls_self}/', 'the certificate is self-signed, and not trusted here; to trust it, give it with --ca FILE'),
    row('all of that at once', 'dial wss://{tls_worst}/',
        r're:the certificate expired on [^;]*; the certificate is for example\.org, not for [^;]*; the certificate was issued by '),
    row('TLS to a port without', 'dial {gateway_tls}', '; if the port does not speak TLS, try ws://'),
    row('TLS to a web server without', 'dial wss://{deaf}/', '; if the port does not speak TLS, try ws://'),
    row('TLS to an SSH server', 'dial wss://{ssh}/', '; if the port does not speak TLS, try ws://'),
    row('no TLS to a port with', 'dial ws://{tls_good}/', 'try wss://'),
    row('no TLS to a server that says so', 'dial ws://{alert}/', 'speaks TLS: try wss:// in place of ws://'),
    row('no TLS to a gateway with', 'dial {secure_plain}', 'try wss://'),
    usage('a file of authorities that is not there', 'connect wss://127.0.0.1:1/ --ca {directory}/none.pem', 'none.pem'),
    usage('a key for an authority', 'connect wss://127.0.0.1:1/ --ca {key}', 'is not a file of certificates in PEM form: '),
    row('no TLS installed', 'dial wss://{deaf}/', 'TLS support is not available; install glib-networking', GIO_USE_TLS='dummy'),
]

CONFIG = [
    usage('no such tunnel', 'connect phnoe --config {config}', "has no tunnel 'phnoe'; did you mean 'phone'?"),
    usage('no such file', 'up --config {directory}/none.conf', 'none.conf cannot be read: '),
    usage('a typing error in a key', 'up typo --config {config}', "[typo] has an unknown key 'lisen'; did you mean 'listen'?"),
    usage('the URL of a browser', 'up web --config {config}', '[web] remote-uri must begin with ws:// or wss://'),
    usage('no URL', 'up bare --config {config}', '[bare] has no remote-uri, the URL of the gateway'),
    usage('a value that is not allowed', 'up mode --config {config}', "[mode] mode must be one of singleton, multiplexed, parallel, auto, not 'many'"),
    usage('a token that others may read', 'up open --config {open}', "others may read the file; use token-file or token-command, or 'chmod 600 "),
    usage('a line that is none', 'up --config {garbled}', ':2: the line is not [NAME], KEY=VALUE or # comment'),
    usage('a key before any name', 'up --config {headless}', ':1: the line stands before the first [NAME]'),
    usage('a name twice', 'up --config {twice}', ':3: the line repeats the [NAME] of line 1'),
    usage('stdio and a hook of the file', 'connect hook --stdio --config {config}', '[hook] on-ready exclude each other'),
]

PHRASES = {
    200: 'OK', 301: 'Moved', 302: 'Found', 308: 'Permanent', 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden',
    404: 'Not Found', 405: 'Not Allowed',
    407: 'Proxy Authentication Required', 426: 'Upgrade Required', 429: 'Too Many Requests', 500: 'Internal Server Error',
    502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout',
}
HEADERS = {301: 'Location: https://example.org/t?key=secret', 302: 'Location: /login', 401: 'WWW-Authenticate: Basic realm="x"', 429: 'Retry-After: 7', 503: 'Retry-After: 5'}

CONFIG_FILE = """[phone]
remote-uri=ws://127.0.0.1:1/
[typo]
remote-uri=ws://127.0.0.1:1/
lisen=80
[web]
remote-uri=https://example.org/
[bare]
mode=multiplexed
[mode]
remote-uri=ws://127.0.0.1:1/
mode=many
[hook]
remote-uri=ws://127.0.0.1:1/
on-ready=true
"""

FILES = {
    'good': TOKEN + '\n',
    'empty': '',
    'tokens': f'# who\nalice:{TOKEN}\n',
    'zero': f'alice:{TOKEN}\0\n',
    'shared': f'alice:{TOKEN}\nbob:{TOKEN}\n',
    'config': CONFIG_FILE,
    'open': f'[open]\nremote-uri=ws://127.0.0.1:1/\ntoken={TOKEN}\n',
    'garbled': '[a]\nremote-uri ws://127.0.0.1:1/\n',
    'headless': 'remote-uri=ws://127.0.0.1:1/\n[a]\n',
    'twice': '[a]\nremote-uri=ws://127.0.0.1:1/\n[a]\n',
}

# Begin and end, and the subjectAltName. The certificate 'below' is issued by 'authority', the others by the CA.
CERTIFICATES = {
    'authority': ('20000101000000Z', '20010203040500Z', 'DNS:authority'),
    'below': ('20000101000000Z', '20990101000000Z', 'IP:127.0.0.1'),
    'good': ('20000101000000Z', '20990101000000Z', 'IP:127.0.0.1'),
    'expired': ('20000101000000Z', '20010203040500Z', 'IP:127.0.0.1'),
    'early': ('20980706050400Z', '20990101000000Z', 'IP:127.0.0.1'),
    'other': ('20000101000000Z', '20990101000000Z', 'DNS:example.org,DNS:*.example.net'),
    'named': ('20000101000000Z', '20990101000000Z', 'DNS:gateway.test'),
    'name': ('20000101000000Z', '20990101000000Z', 'DNS:127.0.0.1'),
    'worst': ('20000101000000Z', '20010203040500Z', 'DNS:example.org'),
}

OPENSSL_CONFIG = """[ca]
default_ca = this
[this]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = %s
basicConstraints = %s
"""


def head(connection):
    data = b''
    while b'\r\n\r\n' not in data:
        data += receive(connection, 1)
    return data


def answer(data):
    """Makes a server that answers a request with @data."""
    def serve(connection):
        head(connection)
        connection.sendall(data)
    return serve


def greet(data):
    """Makes a server that speaks first, and then reads what its client sends."""
    def serve(connection):
        connection.sendall(data)
        while connection.recv(4096):
            pass
    return serve


def refuse(connection):
    """A server that takes whatever it gets for a bad request."""
    connection.recv(4096)
    connection.sendall(b'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')


def echo(connection):
    while data := connection.recv(4096):
        connection.sendall(data)


SERVERS = {
    'ssh': greet(b'SSH-2.0-Test\r\n'),
    'redis': answer(b"-ERR unknown command 'GET'\r\n"),
    'echo': echo,
    'binary': answer(b'\0\0\x12\7\0\0\0\0\0\0\3\0\0\0'),
    'http2': answer(b'\0\0\x12\4\0\0\0\0\0\0\3\0\0\0'),
    'mute': head,
    'torn': answer(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso'),
    'strange': answer(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                      b'Sec-WebSocket-Accept: bm90IHRoaXMgb25lIGF0IGFsbA==\r\n\r\n'),
    'deaf': refuse,
    'alert': answer(b'\x15\x03\x01\x00\x02\x02\x16'),
}


class Places(dict):
    """The {names} of the rows: each is made when it is first used."""

    def __init__(self, test):
        super().__init__()
        self.test = test
        self['directory'] = test.enterClassContext(tempfile.TemporaryDirectory())

    def __missing__(self, name):
        kind, _, which = name.partition('_')
        if name in FILES:
            value = self.file(name, FILES[name])
        elif name in SERVERS:
            value = self.serve(SERVERS[name])
        elif kind in ('http', 'tls'):
            value = getattr(self, kind)(which)
        else:
            value = getattr(self, name)()
        self[name] = value
        return value

    def path(self, name):
        return os.path.join(self['directory'], name)

    def version(self):
        return run('--version')[1].split()[1]

    def file(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(text)
        return self.path(name)

    def serve(self, handler):
        return '127.0.0.1:%d' % self.test.enterClassContext(Service(handler)).port

    def http(self, status):
        header = HEADERS.get(int(status))
        return self.serve(answer(f'HTTP/1.1 {status} {PHRASES[int(status)]}\r\nContent-Length: 6\r\n'
                                 f'{header + chr(13) + chr(10) if header else ""}Connection: close\r\n\r\nno way'.encode()))

    def bind(self):
        bound = self.test.enterClassContext(socket.socket())
        bound.bind(('127.0.0.1', 0))
        return bound

    def refused(self):
        """Returns an address at which nothing listens, and whose port no other process gets."""
        return '127.0.0.1:%d' % self.bind().getsockname()[1]

    def taken(self):
        bound = self.bind()
        bound.listen()
        return '127.0.0.1:%d' % bound.getsockname()[1]

    def start_gateway(self, *args):
        service = self.test.enterClassContext(Service())
        command, url = gateway(service, *args)
        self.test.enterClassContext(command)
        return url

    def gateway(self):
        return self.start_gateway()

    def gateway_tls(self):
        return self['gateway'].replace('ws:', 'wss:')

    def plain(self):
        return self.start_gateway('--resumption', 'off')

    def insistent(self):
        return self.start_gateway('--resumption', 'required')

    def own_cert(self):
        return self.certificate('good')[0]

    def other_key(self):
        return self.certificate('self')[1]

    def secure_plain(self):
        certificate, key = self.certificate('good')
        return self.start_gateway('--tls-cert', certificate, '--tls-key', key).replace('wss:', 'ws:')

    def openssl(self, *args):
        subprocess.run(['openssl', *args], cwd=self['directory'], check=True, capture_output=True)

    def ca(self):
        self.openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
                     '-subj', '/CN=An authority', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', 'ca.key', '-out', 'ca.pem')
        return self.path('ca.pem')

    def key(self):
        return self['ca'].replace('.pem', '.key')

    def certificate(self, name):
        if name == 'self':
            return self['ca'], self['key']
        start, end, names = CERTIFICATES[name]
        if not os.path.exists(self.path(f'{name}.pem')):
            issuer, issuer_key = self.certificate('authority' if name == 'below' else 'self')
            self.file('openssl.conf', OPENSSL_CONFIG % (names, f'CA:{name == "authority"}'.upper()))
            self.file('index', '')
            self.openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', f'/CN={name}',
                         '-keyout', f'{name}.key', '-out', f'{name}.csr')
            self.openssl('ca', '-batch', '-notext', '-config', 'openssl.conf', '-cert', issuer, '-keyfile', issuer_key,
                         '-in', f'{name}.csr', '-out', f'{name}.pem', '-startdate', start, '-enddate', end)
            if name == 'below':
                with open(self.path('below.pem'), 'a', encoding='utf-8') as chain, open(issuer, encoding='utf-8') as above:
                    chain.write(above.read())
        return self.path(f'{name}.pem'), self.path(f'{name}.key')

    def tls(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate(name))

        def serve(connection):
            with context.wrap_socket(connection, server_side=True) as secure:
                answer(b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')(secure)
        return self.serve(serve)


class Mistakes(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.places = Places(cls)

    def arguments(self, text):
        words = shlex.split(text.format_map(self.places))
        if words[0] == 'dial':
            words[0] = 'connect'
            words += ['--mode', 'multiplexed', '--max-reconnect-attempts', '0', '--log-level', 'none']
        return words

    def check_row(self, row):
        env = {'TCP_TUNNEL_TOKEN': TOKEN}
        env.update({name: value and value.format_map(self.places) for name, value in row.env.items()})
        if any(name.endswith('_proxy') for name in env):
            env.update(GIO_USE_PROXY_RESOLVER=None, no_proxy=env.get('no_proxy'), NO_PROXY=None)
        status, out, err = run(*self.arguments(row.args), **env)
        said = row.says.removeprefix('re:') if row.says.startswith('re:') else re.escape(row.says.format_map(self.places))
        self.assertRegex(err, said)
        self.assertEqual((status, out), (row.status, ''), err)
        self.assertRegex(err, r'\Atcp-tunnel( connect| up| gateway)?: ')
        self.assertNotIn(TOKEN, err)
        self.assertNotIn('key=secret', err)
        self.assertNotRegex(err, r'-(CRITICAL|WARNING) \*\*')
        self.assertEqual(row.status == USAGE, '--help' in err, err)

    def check(self, rows):
        for each in rows:
            with self.subTest(each.did, args=each.args):
                self.check_row(each)

    def test_urls(self):
        self.check(URLS)

    def test_options(self):
        self.check(OPTIONS)

    def test_tokens(self):
        self.check(TOKENS)

    def test_listen(self):
        self.check(LISTEN)

    def test_gateway(self):
        self.check(GATEWAY)

    def test_reaching(self):
        self.check(REACHING)

    def test_tls(self):
        self.check(TLS)

    def test_config(self):
        self.check(CONFIG)

    def test_privileged_port(self):
        """Even root cannot bind this port without the capability."""
        with open('/proc/sys/net/ipv4/ip_unprivileged_port_start', encoding='utf-8') as file:
            if int(file.read()) <= 1:
                skip(self, 'every port may be opened by everybody here')
        prefix = ['setpriv', '--bounding-set', '-net_bind_service', '--inh-caps', '-net_bind_service'] if os.getuid() == 0 else []
        done = subprocess.run([*prefix, BINARY, 'connect', 'ws://127.0.0.1:1/', '--listen', '1'], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env=environment(TCP_TUNNEL_TOKEN=TOKEN), timeout=DEADLINE)
        self.assertEqual((done.returncode, done.stdout), (FAILED, ''))
        self.assertIn('cannot listen on 127.0.0.1 port 1: ', done.stderr)
        self.assertIn('Permission denied; ports below 1024 need privileges: choose one from 1024 on', done.stderr)


class Running(unittest.TestCase):
    """Mistakes that show when a TCP client connects, or while the tunnel runs."""

    def test_target_refuses(self):
        for mode in ('singleton', 'multiplexed'):
            with self.subTest(mode), socket.socket() as absent:
                absent.bind(('127.0.0.1', 0))
                target = '127.0.0.1:%d' % absent.getsockname()[1]
                with Command('gateway', '--target', target, TCP_TUNNEL_TOKEN=TOKEN) as server:
                    url = server.line().split()[-1]
                    with Command('connect', url, '--mode', mode, TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
                        knock(listening(tunnel)).close()
                        server.error_line(f'the target {target} cannot be reached: .*Connection refused')

    def test_hook_fails(self):
        with Command('connect', 'ws://127.0.0.1:1/', '--on-ready', 'no-such-program', TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
            listening(tunnel)
            tunnel.error_line('tcp-tunnel connect: --on-ready: the command ended with exit status 127$')
            self.assertEqual(tunnel.stop(), 0)


class Table(unittest.TestCase):
    def test_size(self):
        rows = [*URLS, *OPTIONS, *TOKENS, *LISTEN, *GATEWAY, *REACHING, *TLS, *CONFIG]
        self.assertGreaterEqual(len(rows), 60)
        self.assertEqual(len({each.args + str(each.env) for each in rows}), len(rows))


if __name__ == '__main__':
    unittest.main(verbosity=2)
