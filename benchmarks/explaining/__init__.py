"""Explanations beside other libraries: what is compared, our side, and the figures. Read comparisons.py first."""
