"""State that several machines share, in one Redis or Valkey (INKLING_STATE): explanations, claims on computing them,
the secret of links, and which models were unloaded.

Each is behind a port that a single machine fills by itself, and every server goes on alone while the shared one is
away. Must not know HTTP. Read connection.py first. Imported only where an address is set.
"""

from server.state.connection import Away as Away
from server.state.connection import Connection as Connection
from server.state.explanations import SharedExplanations as SharedExplanations
from server.state.leases import RENEWED_EVERY as RENEWED_EVERY
from server.state.leases import Leases as Leases
from server.state.notices import Notices as Notices
from server.state.secret import SharedSecret as SharedSecret
