"""Posted pictures: others' recipes and the table of what is read right, for `benchmarks/read.py`."""
