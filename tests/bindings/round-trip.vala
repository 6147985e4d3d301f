// SPDX-License-Identifier: LGPL-2.1-or-later
// The library in Vala programs.

const string TOKEN = "bindings-0123456789";
const int MIB = 1024 * 1024;
const uint GENEROUS_S = 30;

/** A TCP service that sends back what it receives. */
class Echo : SocketService {
    public uint16 port { get; private set; }

    public Echo () throws Error {
        port = add_any_inet_port (null);
    }

    public override bool incoming (SocketConnection connection, Object? source) {
        serve.begin (connection);
        return true;
    }

    private async void serve (SocketConnection connection) {
        try {
            yield connection.output_stream.splice_async (connection.input_stream, CLOSE_TARGET);
        } catch (Error error) {
            // The client has left.
        }
    }
}

async void exchange (SocketConnection connection, int size) throws Error {
    var sent = new uint8[size];
    for (int i = 0; i < size; i++)
        sent[i] = (uint8) Random.next_int ();

    var source = new MemoryInputStream.from_data (sent);
    var checksum = new Checksum (SHA256);
    connection.output_stream.splice_async.begin (source, NONE);
    for (int left = size; left > 0;) {
        var piece = yield connection.input_stream.read_bytes_async (int.min (left, 65536));
        assert_cmpint (piece.length, GT, 0);
        checksum.update (piece.get_data (), piece.length);
        left -= piece.length;
    }
    assert_cmpstr (checksum.get_string (), EQ, Checksum.compute_for_data (SHA256, sent));
}

async SocketConnection dial (TcpTunnel.Tunnel tunnel) throws Error {
    return yield new SocketClient ().connect_to_host_async ("127.0.0.1", (uint16) ((InetSocketAddress) tunnel.local_address).port);
}

delegate bool Condition ();

void wait_until (Condition condition) {
    var context = MainContext.default ();
    var deadline = Timeout.add_seconds (GENEROUS_S, () => {
        error ("waited in vain");
    });
    while (!condition ())
        context.iteration (true);
    Source.remove (deadline);
}

void test_properties () {
    var tunnel = new TcpTunnel.Tunnel ("wss://example.org/", TOKEN) {
        mode = MULTIPLEXED,
        reconnect_delay = 10,
        request_headers = { "X-One: 1" }
    };
    assert_cmpstr (tunnel.remote_uri, EQ, "wss://example.org/");
    assert_true (tunnel.mode == TcpTunnel.TunnelMode.MULTIPLEXED);
    assert_cmpuint (tunnel.reconnect_delay, EQ, 10);
    assert_cmpint (tunnel.max_reconnect_attempts, EQ, 6);
    assert_true (tunnel.state == TcpTunnel.TunnelState.DISCONNECTED);
    assert_null (tunnel.local_address);
    assert_false (tunnel.active);
}

void test_bad_uri () {
    var tunnel = new TcpTunnel.Tunnel ("http://127.0.0.1/", TOKEN);
    try {
        tunnel.start (null);
        assert_not_reached ();
    } catch (TcpTunnel.TunnelError.INVALID_ARGUMENT error) {
        assert_false (TOKEN in error.message);
    } catch (Error error) {
        assert_not_reached ();
    }
}

async void round_trip (TcpTunnel.TunnelMode mode, int count) throws Error {
    var echo = new Echo ();
    var gateway = new TcpTunnel.Gateway (@"127.0.0.1:$(echo.port)");
    gateway.set_token (TOKEN);
    yield gateway.start_async (null);

    var tunnel = new TcpTunnel.Tunnel (gateway.uri, TOKEN) { mode = mode };
    TcpTunnel.TunnelState[] states = {};
    int opened = 0, closed = 0;
    tunnel.state_changed.connect (state => states += state);
    tunnel.connection_opened.connect ((connection) => opened++);
    tunnel.connection_closed.connect ((connection) => {
        assert_true (connection.error == null);
        assert_true (connection.closed);
        closed++;
    });
    yield tunnel.start_async (null);

    SocketConnection[] connections = {};
    for (int i = 0; i < count; i++)
        connections += yield dial (tunnel);
    foreach (unowned var connection in connections)
        yield exchange (connection, MIB);
    foreach (unowned var connection in connections)
        connection.close ();

    wait_until (() => closed == count);
    assert_cmpint (opened, EQ, count);
    var statistics = tunnel.get_statistics ();
    assert_cmpuint ((uint) statistics.bytes_received, EQ, count * MIB);
    assert_cmpstr (statistics.protocol, EQ, "resumable/1");
    assert_true (tunnel.active);
    yield tunnel.close_async (null);
    assert_false (tunnel.active);
    wait_until (() => states.length > 0 && states[states.length - 1] == DISCONNECTED);
    assert_cmpint (states.length, EQ, 3);
    assert_true (states[0] == CONNECTING);
    assert_true (states[1] == CONNECTED);

    gateway.close ();
    echo.stop ();
}

void test_listeners () {
    var listeners = new ListStore (typeof (Object));
    var gateway = new TcpTunnel.Gateway ("127.0.0.1:1") {
        token = TOKEN,
        log_level = NONE,
        listeners = listeners
    };
    listeners.append (new InetSocketAddress.from_string ("127.0.0.1", 0));
    listeners.append (new NetworkAddress ("localhost", 0));
    try {
        gateway.start ();
        var addresses = gateway.get_local_addresses ();
        assert_cmpint (addresses.length, EQ, 3);
        foreach (var address in addresses)
            new SocketClient ().connect (address).close ();
    } catch (Error error) {
        GLib.error ("%s", error.message);
    }
    gateway.close ();
    assert_cmpint (gateway.get_local_addresses ().length, EQ, 0);
}

void run (TcpTunnel.TunnelMode mode, int count) {
    var done = false;
    round_trip.begin (mode, count, (source, result) => {
        try {
            round_trip.end (result);
        } catch (Error error) {
            GLib.error ("%s", error.message);
        }
        done = true;
    });
    wait_until (() => done);
}

int main (string[] args) {
    Test.init (ref args);
    Test.add_func ("/vala/properties", test_properties);
    Test.add_func ("/vala/bad-uri", test_bad_uri);
    Test.add_func ("/vala/listeners", test_listeners);
    Test.add_func ("/vala/singleton", () => run (SINGLETON, 1));
    Test.add_func ("/vala/multiplexed", () => run (MULTIPLEXED, 8));
    return Test.run ();
}
