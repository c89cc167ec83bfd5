"""What happens to one request: from a picture and a version to a prediction, explanation, comparison or attack.

Must not know HTTP, nor what computes a model. Read predict.py first, then explain.py: they tell the story of a picture
from top to bottom.
"""
