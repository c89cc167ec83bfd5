"""Authentication: API keys with scopes, and signed links that open one explanation for a while.

Must not know HTTP: the middleware takes a key or a signature out of a request, and answers a refusal. Read
keys.py first.
"""
