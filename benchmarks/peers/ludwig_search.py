"""Ludwig, as its documentation has it: AutoML for the table; for pictures and texts a configuration
with a search for as long as there is time. Its page on pretrained encoders advises frozen ones for
less than 1,000 pictures, and a learning rate of 0.001 to 0.01 for these."""

import sys

from ludwig.automl import auto_train, train_with_config

dataset, minutes = sys.argv[1], float(sys.argv[2])
squeezenet = {"type": "squeezenet", "model_variant": "1_0"}
efficientnet = {"type": "timm", "model_name": "local-dir:weights/timm_image"}
minilm = {"type": "auto_transformer", "pretrained_model_name_or_path": "weights/minilm_l6"}
picture = {"name": "image", "type": "image"}
features = {
    "hymenoptera": [picture],
    "office": [picture],
    "sentiment": [{"name": "text", "type": "text", "encoder": minilm}],
    "emoji": [picture, {"name": "name", "type": "text", "encoder": minilm}],
}
config = {
    "preprocessing": {"split": {"type": "random", "probabilities": [0.8, 0.2, 0.0]}},
    "output_features": [{"name": "label", "type": "category"}],
    "hyperopt": {
        "goal": "maximize",
        "metric": "accuracy",
        "output_feature": "label",
        "parameters": {
            "trainer.learning_rate": {"space": "loguniform", "lower": 1e-4, "upper": 1e-2}
        },
        "executor": {"type": "ray", "num_samples": 20, "time_budget_s": 60 * minutes},
    },
}
if dataset == "german":
    results = auto_train("train.csv", "label", 60 * minutes)
else:
    results = train_with_config("train.csv", config | {"input_features": features[dataset]})
predictions, _ = results.best_model.predict("test.csv")
predictions.to_csv("predictions.csv", index=False)
