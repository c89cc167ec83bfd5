"""How are the rows of many requests computed together (dynamic batching)? Predictions go first, within limits on what
may wait.

Must not know what computes the rows, nor who submits them. Read scheduler.py first; batched_model.py makes a Model of
it.
"""
