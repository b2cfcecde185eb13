"""What a check recognizes the edge's placeholder certificate by."""

__all__ = ["ISSUER"]

ISSUER = "Signalpost placeholder"
"""The issuer's common name. The edge has this certificate until it gets a real one."""
