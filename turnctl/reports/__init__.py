"""Reports: what a check found, for a person or for a program. Each format is one module."""
