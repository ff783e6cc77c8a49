"""The parts of the documents that are made from the code. `make reference` writes them; a test compares."""
