"""How does a serving process run? gunicorn's worker, the checks before the first one starts, tasks that run again and
again, and what the C library's heaps keep.

Must not know models, explanations or what a route answers. Read gunicorn_worker.py first, and gunicorn.conf.py, which
puts these parts together.
"""
