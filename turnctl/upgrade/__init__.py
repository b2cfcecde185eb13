"""The steps of deploy/upgrade, which gives a deployment another coturn without a lost call."""
