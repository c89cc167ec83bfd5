"""What tests share: servers to ask, clients that wait, pictures and stores, and the values that belong to a revision.

models/ has the models that stand in for shipped ones. Nothing here is a test.
"""
