"""Tests of the page and the element in a real browser, against real servers with the shipped models."""
