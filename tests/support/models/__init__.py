"""Models to test with: fakes whose right answers are known by hand, tiny SavedModels, the shipped nets, and stores of
them. Read fakes.py first."""
