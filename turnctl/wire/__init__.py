"""STUN and TURN on the wire: codec, links, sessions. The only importer of `aioice.stun`."""
