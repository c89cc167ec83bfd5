"""Produces versioned SavedModels into a model store. Shares only the contract of model_store/ with the server."""
