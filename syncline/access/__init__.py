"""Who connects, and what they may do: authenticators, authorizers, token files, web origins."""
