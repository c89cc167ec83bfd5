"""Explanations that are kept for a while, by their id: in one SQLite file that all workers of a server share.

kept.py decides what is kept and never fails; file.py and opening.py are the file, bounded in bytes; explanation.py and
block.py are a record's bytes. Knows neither HTTP nor models. No pickle anywhere.
"""

from server.records.edition import edition as edition
from server.records.explanation import fingerprint as fingerprint
from server.records.kept import Event as Event
from server.records.kept import Kept as Kept
