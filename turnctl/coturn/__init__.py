"""coturn: its versions, options, configuration files, command line, log and database."""
