"""How good nets are, beyond the test images: corruptions, attacks, prediction sets, what is no digit; the tables of
docs/nets.md.

Must not know how nets are trained, nor choose anything: what is measured here is never trained against. Read tables.py
first.
"""
