"""Web hooks: which events there are, how they are signed, and how they reach the back end."""
