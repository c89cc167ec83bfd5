"""Our own dialect, for people and apps: pictures in, answers out, in the format that is asked for.

Must not know the other dialects; what it shares with them lies in routes/. Read predict.py and explain.py first.
"""
