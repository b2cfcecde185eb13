"""The process: listeners, signals, new settings while it runs, and its end."""
