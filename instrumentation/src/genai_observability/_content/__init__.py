"""Questions and answers: recorded where the application asks for it, redacted; and watched for attacks and leaks.

The seam keeps references to what was asked and answered, on the caller's thread. All else happens on the worker:
``conversation`` reads them as plain values, ``detection`` finds what must not leave, ``recorded`` makes the span's
attributes, ``threats`` the security findings.
"""
