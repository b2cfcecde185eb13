"""Setting up a host: what `turnctl init` does."""
