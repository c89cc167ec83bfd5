"""The writers of a model store: its contract is model_store/README.md."""
