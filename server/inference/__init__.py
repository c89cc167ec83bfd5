"""What happens to one request: a picture and a model's version -> prediction, explanation, comparison, attack.

Must not know HTTP, nor what computes a model. Read predict.py first, then explain.py: they tell the story of a picture
from top to bottom.
"""
