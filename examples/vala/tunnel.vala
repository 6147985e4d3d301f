// SPDX-License-Identifier: LGPL-2.1-or-later
// Opens a local TCP port whose connections go through a gateway.
//
//   valac --pkg libtcptunnel-1 tunnel.vala
//   TCP_TUNNEL_TOKEN=… ./tunnel wss://example.org/

/** Waits for Ctrl-C, or until the tunnel has ended by itself. */
async void interrupted (TcpTunnel.Tunnel tunnel) throws Error {
    Error? failure = null;
    tunnel.failed.connect (error => {
        failure = error;
        interrupted.callback ();
    });
    Unix.signal_add (ProcessSignal.INT, () => {
        interrupted.callback ();
        return Source.REMOVE;
    });
    yield;
    if (failure != null)
        throw failure;
}

async int run (string uri, string token) {
    var tunnel = new TcpTunnel.Tunnel (uri, token);
    tunnel.state_changed.connect (state => print ("%s\n", state.to_string ()));

    try {
        yield tunnel.start_async (null);
        print ("listening on %s\n", tunnel.local_address.to_string ());
        yield interrupted (tunnel);
        return 0;
    } catch (TcpTunnel.TunnelError.UNAUTHORIZED error) {
        printerr ("%s\nIs TCP_TUNNEL_TOKEN right?\n", error.message);
    } catch (Error error) {
        printerr ("%s\n", error.message);
    } finally {
        tunnel.close ();
    }
    return 1;
}

int main (string[] args) {
    var token = Environment.get_variable ("TCP_TUNNEL_TOKEN");
    if (args.length != 2 || args[1].has_prefix ("-") || token == null) {
        printerr ("usage: TCP_TUNNEL_TOKEN=TOKEN tunnel URL\n");
        return 1;
    }

    var loop = new MainLoop ();
    var status = 1;

    run.begin (args[1], token, (source, result) => {
        status = run.end (result);
        loop.quit ();
    });
    loop.run ();
    return status;
}
