"""Encoded pictures before they are decoded: their format, what of them matters, what decoding costs, and whose turn it
is. Must not know what is in a picture.
"""
