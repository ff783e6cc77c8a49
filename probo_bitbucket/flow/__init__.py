"""The two flows, a room for each part of the way. Imports go downhill here, too: see `.importlinter`."""
