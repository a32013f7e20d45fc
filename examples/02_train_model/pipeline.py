"""Train a classifier: split the data, fit gradient-boosted trees, evaluate them, state the accuracy."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from flyte_temporal import FlyteFile, Resources, current_context, task, workflow

SEED = 42  # the same split and the same trees in every run, so that the accuracy can be stated


class Split(NamedTuple):
    train: pd.DataFrame
    test: pd.DataFrame


class TrainedModel(NamedTuple):
    model: FlyteFile
    accuracy: float


@task
def split_80_20(data: pd.DataFrame | None = None) -> Split:
    """Split the rows at random: 80 % to train on, 20 % to test with.

    Args:
        data: A table with a column `target`; scikit-learn's bundled breast-cancer data if none is given.
    """
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    if data is None:
        data = load_breast_cancer(as_frame=True).frame
    train, test = train_test_split(data, test_size=0.2, random_state=SEED, stratify=data["target"])
    return Split(train.reset_index(drop=True), test.reset_index(drop=True))


@task(retries=2, requests=Resources(cpu="1", mem="500Mi"))
def fit(train: pd.DataFrame, hyperparam: float) -> FlyteFile:
    """Fit gradient-boosted trees.

    Args:
        train: The rows to learn from.
        hyperparam: The learning rate.
    """
    import joblib
    from sklearn.ensemble import GradientBoostingClassifier

    trees = GradientBoostingClassifier(n_estimators=50, learning_rate=hyperparam, random_state=SEED)
    trees.fit(train.drop(columns="target"), train["target"])
    path = Path(current_context().working_directory) / "model.joblib"
    joblib.dump(trees, path)
    return FlyteFile(str(path))


@task
def evaluate(model: FlyteFile, test: pd.DataFrame) -> pd.DataFrame:
    """Predict the target of rows that the model has not seen."""
    import joblib

    trees = joblib.load(model.download())
    predicted = trees.predict(test.drop(columns="target"))
    return pd.DataFrame({"target": test["target"], "predicted": predicted})


@task
def compute_metrics(predictions: pd.DataFrame) -> float:
    """Return the share of right predictions."""
    return float((predictions["target"] == predictions["predicted"]).mean())


# A table cannot stand in a spec, which is a small document that must be the same on every machine. So the default of
# `data` is None, and the first task loads the bundled data when it gets none: nothing is downloaded, and the spec of
# this workflow does not depend on the data or on the version of scikit-learn.
@workflow
def train_model(data: pd.DataFrame | None = None, hyperparam: float = 0.1) -> TrainedModel:
    """Train a classifier and say how good it is.

    Args:
        data: A table with a column `target`; scikit-learn's bundled breast-cancer data if none is given.
        hyperparam: The learning rate of the trees.
    """
    split = split_80_20(data=data)
    model = fit(train=split.train, hyperparam=hyperparam)
    predictions = evaluate(model=model, test=split.test)
    return TrainedModel(model=model, accuracy=compute_metrics(predictions=predictions))


if __name__ == "__main__":
    print(train_model(hyperparam=0.1))
