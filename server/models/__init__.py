"""Loads models: a version's folder becomes a card, and a model by LiteRT or TensorFlow.

wrappers/ decorate a model, batching/ computes the rows of many requests together, repository/ says which versions
are served. Must know neither HTTP nor explainers. Read card.py first, then loading.py.
"""
