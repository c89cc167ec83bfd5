"""Runs the serving process: gunicorn's worker, checks before the first one starts, periodic tasks, and the C library's
heaps.

Must not know models, explanations or what a route answers. Read gunicorn_worker.py first, and gunicorn.conf.py, which
puts these parts together.
"""
