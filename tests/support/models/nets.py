"""The shipped versions, loaded once for all tests of a process, and pictures to show them."""

from functools import cache
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.store import STORE, shipped
from server.models.card import read_card
from server.models.interpreters import InterpreterPool
from server.models.litert import LiteRTModel, explaining_model, predictor
from server.models.savedmodel import SavedModel
from server.types import Array, ModelCard, Target
from training import data

NAMES = ("mlp", "cnn", "lstm")


def folder(name: str) -> Path:
    return shipped(name)


def numbers_of(name: str) -> list[str]:
    """The numbers of all versions that are shipped, ascending."""
    return sorted((one.name for one in (STORE / name).iterdir() if one.name.isdecimal()), key=int)


@cache
def card(name: str) -> ModelCard:
    return read_card(folder(name))


@cache
def net(name: str) -> SavedModel:
    """By TensorFlow."""
    return SavedModel(folder(name), card(name))


@cache
def twin(name: str) -> LiteRTModel:
    """What predicts."""
    return predictor(folder(name), card(name))


@cache
def lite(name: str) -> LiteRTModel:
    """What explains without TensorFlow."""
    return explaining_model(folder(name), card(name), InterpreterPool(256 << 20))


@cache
def digits() -> Array:
    """200 of scikit-learn's digits, placed as MNIST's are."""
    return np.stack([data.as_mnist(image / 16.0) for image in load_digits().images[:200]])


def one(name: str, index: int = 3) -> Target:
    return Target.of_class(index, card(name).classes)
