"""Inkling's own dialect, for people and apps: pictures in, answers out, in the requested format.

Must not know the other dialects; what they share is in routes/. Read predict.py and explain.py first.
"""
