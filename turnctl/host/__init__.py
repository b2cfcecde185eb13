"""This machine: its addresses, its ports and its files."""
