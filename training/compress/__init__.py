"""Smaller versions of a net: structured pruning, distillation, and what they cost. Quantised files are litert's."""
