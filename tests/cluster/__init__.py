"""Several machines, each a network namespace of this one: make test-cluster, as root, in some minutes."""
