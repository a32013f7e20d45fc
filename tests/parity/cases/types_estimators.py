"""scikit-learn estimators between tasks."""

from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from flyte_temporal import task, workflow


@task
def train() -> Pipeline:
    return make_pipeline(StandardScaler(), LinearRegression()).fit([[0.0], [2.0]], [1.0, 5.0])


@task
def predict(model: BaseEstimator, x: float) -> float:
    return float(model.predict([[x]])[0])


@workflow
def wf(x: float) -> float:
    return predict(model=train(), x=x)
