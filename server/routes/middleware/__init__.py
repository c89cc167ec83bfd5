"""Runs before and after every route: who may ask (auth, scopes), how often (limits, rate_limiter), from which pages
(cors), and what is counted and logged (access_log).

Must not know what a route answers. Read scopes.py first: the one table of what each route needs.
"""
