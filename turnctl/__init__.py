"""turnctl: proves from anywhere that STUN and TURN work and carry data, or names why not."""
