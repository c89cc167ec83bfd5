"""The LiteRT files of a version: how they are made of its SavedModel, and compared with it. Must not know how nets are
trained, or what a card says. Read conversion.py first.
"""
