"""From a webhook's delivery, or what stands for one, to what follows from it."""
