"""Ludwig, as its documentation has it: AutoML for the table; for pictures and texts a configuration
with a search for as long as there is time. Its page on pretrained encoders advises frozen ones for
less than 1,000 pictures, and a learning rate of 0.001 to 0.01 for these."""

import sys
from pathlib import Path

import ray
from ludwig.automl import auto_train, train_with_config

dataset, seconds = sys.argv[1], int(60 * float(sys.argv[2]))
train, weights = str(Path("train.csv").resolve()), Path("weights").resolve()
squeezenet = {"type": "squeezenet", "model_variant": "1_0", "trainable": False}
lite0 = {"type": "timm", "model_name": f"local-dir:{weights}/timm_image", "trainable": False}
minilm = {"type": "auto_transformer", "pretrained_model_name_or_path": f"{weights}/minilm_l6"}
pixels = {"height": 224, "width": 224, "standardize_image": "imagenet1k"}
picture = {"name": "image", "type": "image", "encoder": lite0, "preprocessing": pixels}
features = {
    "hymenoptera": [picture],
    "office": [picture],
    "sentiment": [{"name": "text", "type": "text", "encoder": minilm}],
    "emoji": [picture, {"name": "name", "type": "text", "encoder": minilm}],
}
searched = {"trainer.learning_rate": {"space": "loguniform", "lower": 1e-4, "upper": 1e-2}}
if dataset != "sentiment":
    searched["image.encoder"] = {"space": "choice", "categories": [squeezenet, lite0]}
config = {
    "preprocessing": {"split": {"type": "random", "probabilities": [0.8, 0.2, 0.0]}},
    "output_features": [{"name": "label", "type": "category"}],
    "hyperopt": {
        "goal": "maximize",
        "metric": "accuracy",
        "output_feature": "label",
        "parameters": searched,
        "executor": {"type": "ray", "num_samples": 20, "time_budget_s": seconds},
    },
}
if dataset == "german":
    results = auto_train(train, "label", seconds)
else:
    results = train_with_config(train, config | {"input_features": features[dataset]})
ray.shutdown()  # else Ludwig 0.17.10 loads the best model as one of Ray's, and fails
predictions, _ = results.best_model.predict("test.csv")
predictions.to_csv("predictions.csv", index=False)
