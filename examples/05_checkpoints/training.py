"""Train a classifier epoch by epoch; killed in whatever epoch, it goes on with the next one, and ends the same."""

import io
import os
import time
from typing import NamedTuple

import joblib
import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier

from flyte_temporal import current_context, task, workflow

SEED = 7
SHAPE = "sgd-1"  # another word when the state below gets another shape: old checkpoints are then not read


class Trained(NamedTuple):
    weights: list[float]
    accuracy: float


@task
def train(epochs: int, seconds_per_epoch: float) -> Trained:
    """Fit a linear classifier to generated data.

    Args:
        epochs: How often the whole data is shown to it.
        seconds_per_epoch: How long to wait in each epoch, so that you have the time to kill it.
    """
    x, y = make_classification(n_samples=2000, n_features=10, random_state=SEED)
    model = SGDClassifier(loss="log_loss", random_state=SEED)
    done = 0

    checkpoint = current_context().checkpoint
    state = checkpoint.read(tag=SHAPE)  # None in the first attempt
    if state is not None:
        model, done = joblib.load(io.BytesIO(state))
        print(f"attempt {current_context().attempt} goes on after epoch {done}")

    for epoch in range(done + 1, epochs + 1):
        print(f"epoch {epoch} in process {os.getpid()}", flush=True)
        # What is random depends on the epoch alone, so that an epoch is the same in whichever attempt it runs.
        order = np.random.default_rng([SEED, epoch]).permutation(len(x))
        model.partial_fit(x[order], y[order], classes=[0, 1])
        time.sleep(seconds_per_epoch)
        state = io.BytesIO()
        joblib.dump((model, epoch), state)
        checkpoint.write(
            state.getvalue(), step=epoch, tag=SHAPE
        )  # when it returns, the epoch is never run again

    return Trained(weights=model.coef_[0].tolist(), accuracy=float(model.score(x, y)))


@workflow
def training(epochs: int = 20, seconds_per_epoch: float = 0.0) -> Trained:
    """Train a classifier that survives being killed.

    Args:
        epochs: How often the whole data is shown to it.
        seconds_per_epoch: How long to wait in each epoch, so that you have the time to kill it.
    """
    return train(epochs=epochs, seconds_per_epoch=seconds_per_epoch)


if __name__ == "__main__":
    print(training())
