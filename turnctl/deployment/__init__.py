"""What runs on this host: where it is reached, and the files that it is made of."""
