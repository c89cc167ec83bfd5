"""Wrappers around models (decorators): each adds one thing and delegates the rest.

Must not know where the innermost model comes from. Read wrapper.py first.
"""

from server.models.wrappers.deadline import DeadlineModel as DeadlineModel
from server.models.wrappers.memoized import Memo as Memo
from server.models.wrappers.memoized import MemoizedModel as MemoizedModel
from server.models.wrappers.probabilities import AddedForwards as AddedForwards
from server.models.wrappers.probabilities import ProbabilityModel as ProbabilityModel
from server.models.wrappers.probabilities import calibrated as calibrated
from server.models.wrappers.probabilities import probabilities_of as probabilities_of
from server.models.wrappers.wrapper import ModelWrapper as ModelWrapper
