"""Budgets: limits on money, tokens or requests, held to before each call.

``budget`` is what an application writes, ``checked_methods`` the calls that are checked, ``enforcement`` the check and
the booking, ``account`` what was used in one period, ``leases`` how processes share a limit in Redis.
"""
