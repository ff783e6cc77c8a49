"""All that knows Bitbucket; nothing of Probo."""
