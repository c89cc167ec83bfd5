"""Who may ask? API keys with their scopes, and signed links that open one explanation for a while.

Must not know HTTP: the middleware of routes takes a key or a signature out of a request, and refuses in its words. Read
keys.py first.
"""
