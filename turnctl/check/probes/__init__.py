"""Probes: one small file a kind. Each exchanges packets and emits observations, and judges none."""
