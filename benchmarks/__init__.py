"""How Inkling compares with the libraries that people use; `make bench-explain` makes every number of RESULTS.md anew.

Uses only what the server offers to everybody; nothing imports it.
"""
