"""A deployment on this host: its files, its relays, and where clients reach it."""
