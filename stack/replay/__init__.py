"""Weeks of made-up traffic through the real rules, to see what they would have told, and what not."""
