"""Dialects: each translates one wire protocol to hub calls and back, and holds no state."""
