"""Quick-Tune-Tool, as its README has it. Its search starts from an optimizer that was trained on
other data sets, which it downloads, and takes the networks that this one knows, each of which it
downloads too: there is no place for a network of one's own."""

import sys

from qtt import QuickTuner, get_pretrained_optimizer
from qtt.finetune.image.classification import extract_image_dataset_metafeat, fn

minutes = float(sys.argv[2])
task_info, metafeat = extract_image_dataset_metafeat(".")
optimizer = get_pretrained_optimizer("mtlbm/full")
optimizer.setup(128, metafeat)
qt = QuickTuner(optimizer, fn)
qt.run(task_info, time_budget=60 * minutes)
