"""Klein routes: they parse, call one step, and answer."""
