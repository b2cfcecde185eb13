"""The Signalpost service: TURN credentials, iceServers and signaling over aiohttp."""

__version__ = "0.1.0"
