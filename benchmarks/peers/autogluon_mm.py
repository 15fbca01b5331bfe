"""AutoGluon-MM, as its documentation has it: a predictor of a table whose columns are files of
pictures, texts, numbers and categories. `medium_quality` is its preset of networks of this size;
with few labels a class its page on few shots advises `few_shot_classification`. For pictures that
is with CLIP, which is not among the weights, and with a local network of timm's 1.6.3 breaks
(it compares the number of classes, None, with 0), so that these are fine-tuned as others are."""

import sys

import pandas as pd
from autogluon.multimodal import MultiModalPredictor

dataset, minutes = sys.argv[1], float(sys.argv[2])
hyperparameters = {
    "model.timm_image.checkpoint_name": "weights/timm_image",
    "model.hf_text.checkpoint_name": "weights/minilm_l6",
}
few_labels = dataset == "sentiment"
predictor = MultiModalPredictor(
    label="label",
    problem_type="few_shot_classification" if few_labels else None,
    eval_metric="average_precision" if dataset == "german" else "acc",
    presets="medium_quality",
    path="model",
)
predictor.fit(pd.read_csv("train.csv"), time_limit=60 * minutes, hyperparameters=hyperparameters)
test = pd.read_csv("test.csv")
answers = predictor.predict(test).to_frame("label") if few_labels else predictor.predict_proba(test)
answers.to_csv("predictions.csv", index=False)
