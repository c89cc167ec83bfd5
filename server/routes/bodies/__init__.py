"""Reads the body of a request: its bytes, compressed or in chunks, as JSON, base64 or nested lists; bounded, and in
steps between which other requests of the process go on. Must not know any dialect. Read request_body.py first.
"""
