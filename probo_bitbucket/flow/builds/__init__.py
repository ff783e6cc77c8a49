"""From a build that is wanted to the end of its environment, and what the Container Manager says and asks meanwhile."""
