"""The issuer's name in the placeholder certificate. A check recognizes the placeholder by it, so
this module imports nothing: the pure diagnosis does.
"""

__all__ = ["ISSUER"]

ISSUER = "Signalpost placeholder"
"""The common name. A certificate from this issuer means that there is no certificate yet."""
