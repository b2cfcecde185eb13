"""Decide what to probe, record what was seen, and derive findings from it.

Nothing here opens a socket, reads a file or looks at a clock.
"""
