"""`turnctl doctor`: this host from inside.

Each look at the host has its own file, and `looks.py` has the list. A look collects facts (files,
/proc, the Docker engine, nft) and judges them by pure functions. `run.py` is the way in.
"""
