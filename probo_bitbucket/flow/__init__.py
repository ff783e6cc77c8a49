"""One module a step of the two flows."""
