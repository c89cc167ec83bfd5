"""Watches versions on what people really send: a canary answers a share of the callers (INKLING_CANARY), a shadow is
asked about a share of the pictures after their answer is out (INKLING_SHADOW), and drift says whether pictures are
still what is usual for a version.

Must not know HTTP. Read canary.py, then shadow.py; report.py says what a shadow found.
"""
