"""Whom a call is for, and how that follows a request through functions, threads and services."""
