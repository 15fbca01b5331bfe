"""Fine-tuning: blocks from `frozen_depth` on are trained, transferred ones more slowly."""

from raytl.recipes.base import SupervisedRecipe


class Finetune(SupervisedRecipe):
    """Train everything behind the frozen prefix (Yosinski et al. 2014, "How transferable are
    features in deep neural networks?").

    Transferred blocks learn at `optimizer.transferred_lr_scale` times the learning rate; L2 is
    `optimizer.weight_decay`, dropout is `head.dropout`. Without target labels the labels are the
    source domain's.
    """

    name = "finetune"
