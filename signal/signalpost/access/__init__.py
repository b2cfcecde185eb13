"""Access: who a caller is, what it may do, and the credential it gets."""
