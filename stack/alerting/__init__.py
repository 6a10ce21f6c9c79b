"""Alertmanager's configuration, written from the channels that are switched on."""
