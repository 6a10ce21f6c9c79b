"""Budgets: limits on money, tokens or requests, held to before each call.

``budget`` is what an application writes, and what was used of it in one period; ``enforcement`` is the check and the
booking, ``leases`` how processes share a limit in Redis.
"""
