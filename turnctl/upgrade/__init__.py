"""An upgrade of coturn, one step at a time. deploy/upgrade asks for each step and runs it."""
