"""The TLS edge: its certificate, and the running HAProxy."""
