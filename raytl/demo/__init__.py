"""Demos: a study of each modality, whose data and source models are made on the spot, offline.

Each is a study file of search_spaces/, which names data and source models by relative paths, and
what has to be made for it.
"""

from raytl.demo.catalogue import DEMOS, Demo, demo_named
from raytl.demo.running import make_inputs, run_demo, settings_in, study_file, study_in

__all__ = [
    "DEMOS", "Demo", "demo_named", "make_inputs", "run_demo", "settings_in", "study_file",
    "study_in",
]  # fmt: skip
