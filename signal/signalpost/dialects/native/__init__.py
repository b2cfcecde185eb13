"""The native dialect, `signalpost.v1`: messages, their bounds and numbers, and what the hub does."""
