"""The alert inbox: receives Alertmanager's webhook, keeps what it was told and shows it on a page."""
