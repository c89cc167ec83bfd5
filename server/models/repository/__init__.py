"""Which versions are served? Reconciles what lies on disk, what the policy wants and what each worker has ready into
one state, which all workers serve.

Must not know how a model computes: loading.py opens versions. Read store.py first: it is the only entrance. Then
live_versions.py, which calls the rest.
"""
