"""A second version on trial beside the one that answers: a canary answers a share of the callers (INKLING_CANARY), a
shadow is asked about a share of the pictures after their answer is out, and compared with it (INKLING_SHADOW).

Must not know HTTP. Read canary.py, then shadow.py; report.py says what was found.
"""
