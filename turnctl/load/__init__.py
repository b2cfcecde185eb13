"""Load through one relay, for `turnctl bench`."""
