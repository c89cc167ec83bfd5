"""Predictions over HTTP: what is posted, how often, to which servers, and what is expected. Read posted.py first."""
