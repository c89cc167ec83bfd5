"""Hyperparameter search by Optuna: a study in an SQLite file that several processes may work on, and that goes on."""
