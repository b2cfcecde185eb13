"""Signaling: the rules of rooms and calls, and the hub that carries what follows from them."""
