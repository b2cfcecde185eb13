"""Probes: one small file for each kind. A probe exchanges packets and emits observations."""
