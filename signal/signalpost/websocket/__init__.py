"""WebSockets: the handshake, the way out, and sessions that outlive their sockets."""
