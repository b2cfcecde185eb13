"""From targets to observations: reads what to check, asks the servers, records what happens."""
