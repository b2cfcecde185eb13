PAST: tuple[str, ...] = ()
