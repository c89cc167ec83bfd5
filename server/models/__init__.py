"""How does a folder become a model that answers? A version's files -> its card, and a model by LiteRT or TensorFlow.

wrappers/ stand before a model, batching/ computes the rows of many requests together, repository/ says which versions
are served. Must know neither HTTP nor explainers. Read card.py first, then loading.py.
"""
