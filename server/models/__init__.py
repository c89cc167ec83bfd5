"""Everything about having a model: reading, loading, choosing versions. Knows neither HTTP nor explainers."""
