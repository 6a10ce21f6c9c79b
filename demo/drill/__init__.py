"""Breaks one thing after another in a running demonstration, and measures whether and when the right people know."""
