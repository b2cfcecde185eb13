"""Replacing a secret while calls go on."""
