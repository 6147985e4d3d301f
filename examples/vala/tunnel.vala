// SPDX-License-Identifier: LGPL-2.1-or-later
// A local TCP port that leads through a gateway.
//
//   valac --pkg libtcptunnel-1 tunnel.vala
//   TCP_TUNNEL_TOKEN=… ./tunnel wss://example.org/

int main (string[] args) {
    var tunnel = new TcpTunnel.Tunnel (args[1], Environment.get_variable ("TCP_TUNNEL_TOKEN"));
    var loop = new MainLoop ();
    var status = 0;

    tunnel.state_changed.connect (state => print ("%s\n", state.to_string ()));
    tunnel.failed.connect (error => {
        printerr ("%s\n", error.message);
        status = 1;
        loop.quit ();
    });

    try {
        tunnel.start (null);
    } catch (Error error) {
        printerr ("%s\n", error.message);
        return 1;
    }
    print ("listening on %s\n", tunnel.local_address.to_string ());

    Unix.signal_add (ProcessSignal.INT, () => {
        loop.quit ();
        return Source.REMOVE;
    });
    loop.run ();
    tunnel.close ();
    return status;
}
