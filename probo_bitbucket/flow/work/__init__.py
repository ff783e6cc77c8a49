"""How work is taken from the store, divided among nodes, and tried again."""
