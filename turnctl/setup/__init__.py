"""What `turnctl init` looks at before anything starts."""
