"""The servers that `make bench-serve` compares ours with, each serving model_store/cnn/2 with TensorFlow: one file for
each, run in an environment of its own. A null handler in Flask is the floor that our own can not fall below.
"""
