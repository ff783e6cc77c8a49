"""How everything is, for those who look after it, and what they can do about it."""
