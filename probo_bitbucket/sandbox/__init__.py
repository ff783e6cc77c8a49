"""A Bitbucket Cloud and a Container Manager to play with, as strict as the real ones."""
