"""What to probe, what was seen, and what follows from it.

Pure: nothing here opens a socket, reads a file or looks at a clock.
"""
