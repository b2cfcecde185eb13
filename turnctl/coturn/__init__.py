"""coturn: its versions, options, configuration files, command line and database."""
