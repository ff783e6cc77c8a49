"""All that knows Probo; nothing of Bitbucket."""
