"""What is meant for the handlers of other providers."""
