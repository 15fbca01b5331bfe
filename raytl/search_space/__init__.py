"""The search space: what Optuna is asked to suggest, and what a grid enumerates.

A space maps dotted keys of `TrialConfig` to distributions; a key with `when` is active only where
its parents have the named values. What is not searched comes from the study's `defaults`.
"""

from raytl.search_space.checks import Params
from raytl.search_space.space import SearchSpace, check_callable_space, quantiles

__all__ = ["Params", "SearchSpace", "check_callable_space", "quantiles"]
