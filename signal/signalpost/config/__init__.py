"""Configuration: files and environment → Settings."""
