"""Produces versioned SavedModels into a model store. Shares nothing with the server but the contract of model_store/."""
