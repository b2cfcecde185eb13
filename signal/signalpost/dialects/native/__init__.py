"""The native dialect, `signalpost.v1`."""
