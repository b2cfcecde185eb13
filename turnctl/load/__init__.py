"""Load through relays, for `turnctl bench`."""
