"""Does it hold? Each room of server/ has a folder here, and so have training/, benchmarks/ and docs/; what lies loose
in server/ is tested by what lies loose here. test_layers.py says who may import whom.

support/ has what tests share, e2e/ starts real processes, conformance/ asks with the clients of others, and faults/
breaks a server (make test-faults).
"""
