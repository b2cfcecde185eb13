"""From targets to observations: what to check is read, asked and recorded, and judged by none."""
