"""The parts of a digit that a person would point at, what each is worth to a model, and what a map says of it.

strokes.py cuts the ink along the lines of skeleton.py, gaps.py finds openings, shapes.py says what a part looks like
and where it lies, and pieces.py puts parts to the test. Knows no method of explanation, and no words:
render/language/ has them.
"""

from server.parts.pieces import Pieces as Pieces
