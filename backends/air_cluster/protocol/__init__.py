"""The wire: frames, typed messages and the handshake. No sockets here."""
