"""Real processes: gunicorn with our settings and the shipped models, commands, and clients that know only HTTP."""
