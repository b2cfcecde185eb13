"""The edge: HAProxy in front of service and relay, its certificate, and where it sends TURN."""
