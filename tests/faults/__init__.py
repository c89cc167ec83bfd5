"""What goes wrong for real, tried for real: killed workers, slow and vanishing clients, rubbish, full disks.

Run by `make test-faults`, not by `make test`: it takes minutes.
"""
