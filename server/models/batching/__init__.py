"""How are the rows of many requests computed together? Predictions first, within limits on what may wait.

Must not know what computes them, nor who asks. Read scheduler.py first; lane.py makes a model of it.
"""
