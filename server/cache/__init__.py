"""The cache of explanations by id: one SQLite file that all workers of a server share.

explanation_cache.py decides what is kept, and never fails; sqlite_file.py is the file, bounded in bytes; entry.py is
the bytes of one explanation. Knows neither HTTP nor models. No pickle anywhere.
"""

from server.cache.entry import fingerprint as fingerprint
from server.cache.explanation_cache import Event as Event
from server.cache.explanation_cache import SqliteCache as SqliteCache
