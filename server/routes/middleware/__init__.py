"""What stands before and behind every route: who may ask (auth, scopes), how often (limits, rate_limiter), from which
pages (cors), and what is counted and logged of it (access_log).

Must not know what a route answers. Read scopes.py first: the one table of what each route needs.
"""
