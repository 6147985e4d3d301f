// SPDX-License-Identifier: LGPL-2.1-or-later

// A typical bridge that is written with gorilla: it connects WebSockets to the TCP port given as its argument, and
// prints its own port.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/gorilla/websocket"
)

var upgrader = websocket.Upgrader{Subprotocols: []string{"binary"}}

func serve(w http.ResponseWriter, r *http.Request) {
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	target, err := net.Dial("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		return
	}

	go func() {
		defer target.Close()
		for {
			_, data, err := ws.ReadMessage()
			if err != nil {
				return
			}
			if _, err = target.Write(data); err != nil {
				return
			}
		}
	}()

	buffer := make([]byte, 65536)
	for {
		n, err := target.Read(buffer)
		if n > 0 && ws.WriteMessage(websocket.BinaryMessage, buffer[:n]) != nil {
			return
		}
		if err != nil && err.Error() == "EOF" {
			ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
		}
		if err != nil {
			return
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	http.Serve(listener, http.HandlerFunc(serve))
}
