"""docs/api-reference.md, made from the docstrings and signatures of what applications use.

``surface`` reads the package's source and finds what is public, ``sections`` says in which order it is shown,
``markdown`` writes it down.
"""
