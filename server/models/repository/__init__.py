"""Which versions are served? What lies on disk, what the policy wants and what each worker has ready -> one agreed
state, which every worker follows.

Must not know how a model computes: loading.py opens versions. Read store.py first; it is all that others see. Then
reload.py, which calls the rest.
"""
