"""This machine: its addresses, its ports, and the secret files on it."""
