"""The servers that `make bench-serve` compares ours with, one file for each.

LitServe, MLServer and BentoML serve the shipped CNN with TensorFlow, each in an environment of its own. Two handlers
in Flask run in ours: one that does nothing, the floor that ours cannot fall below, and a naive one.
"""
