"""The edge: everything that knows HTTP, WebSocket and aiohttp."""
