"""State that several machines share, in one Redis or Valkey (INKLING_STATE): explanations, claims on computing them,
the secret of links, and which models were unloaded.

Each is behind a port that a single machine fills by itself, and every server goes on alone while the shared one is
away. Must not know HTTP. Read connection.py first. Imported only where an address is set.
"""
