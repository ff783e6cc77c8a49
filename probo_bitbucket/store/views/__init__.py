"""What pages and API show of the store: one shape for both, read a page at a time."""
