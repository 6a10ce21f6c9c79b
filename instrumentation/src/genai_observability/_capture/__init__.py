"""How calls are seen: the one seam of the client that all of its requests go through, and spans of others."""
