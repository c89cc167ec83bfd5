"""Judges what the server says of itself against the truth: the one room of training that knows the server's code."""
