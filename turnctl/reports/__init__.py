"""Show what a check found, to a person or to a program. Each format is one module."""
