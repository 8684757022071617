"""What a router is compared with: each is fitted to vectors (n, dimension) and owners (n), and predicts owners."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Owners = NDArray[np.int64]
Fitted = Callable[[Rows], Owners]
NEIGHBOURS = 5
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)  # inverse regularisation, of which cross-validation chooses
FEATURES = 2000


def nearest_mean(rows: Rows, owners: Owners) -> Fitted:
    """The task with the nearest mean of its training prompts (as class prototypes are used in continual learning)."""
    from sklearn.neighbors import NearestCentroid

    return NearestCentroid().fit(rows, owners).predict


def knn(rows: Rows, owners: Owners) -> Fitted:
    """The majority among the 5 nearest training prompts."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(min(NEIGHBOURS, len(rows))).fit(rows, owners).predict


def joint_logistic(rows: Rows, owners: Owners) -> Fitted:
    """Logistic regression on the prompts of all tasks at once, its strength chosen by cross-validation: the bound."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    fewest = int(np.bincount(owners)[np.unique(owners)].min())
    plain = LogisticRegression(max_iter=2000)
    if fewest < 2:
        return plain.set_params(C=10.0).fit(rows, owners).predict
    search = GridSearchCV(plain, {"C": STRENGTHS}, cv=min(5, fewest))
    return search.fit(rows, owners).predict


def sequential_logistic(rows: Rows, owners: Owners) -> Fitted:
    """Logistic regression trained on one task's prompts after the other by gradient descent, which forgets."""
    from sklearn.linear_model import SGDClassifier

    model = SGDClassifier(loss="log_loss", alpha=1e-4, random_state=0)
    every = np.unique(owners)
    for task in every:
        own = owners == task
        for _ in range(20):
            model.partial_fit(rows[own], owners[own], classes=every)
    return model.predict


def kernel(rows: Rows, owners: Owners) -> Fitted:
    """A support vector machine with a Gaussian kernel, trained jointly."""
    from sklearn.svm import SVC

    return SVC(C=10.0, gamma="scale", class_weight="balanced").fit(rows, owners).predict


def random_ridge(rows: Rows, owners: Owners) -> Fitted:
    """Ridge regression on random features with a rectifier (as in RanPAC, McDonnell et al. 2023), not calibrated."""
    from sklearn.linear_model import RidgeClassifierCV

    weights = np.random.default_rng(0).normal(size=(rows.shape[1], FEATURES)).astype(np.float32)

    def features(x: Rows) -> Rows:
        return np.maximum(x @ weights, 0)

    model = RidgeClassifierCV(alphas=(1.0, 10.0, 100.0, 1000.0), class_weight="balanced").fit(features(rows), owners)
    return lambda x: model.predict(features(x))


BASELINES: dict[str, Callable[[Rows, Owners], Fitted]] = {
    "nearest_mean": nearest_mean,
    "knn": knn,
    "joint_logistic": joint_logistic,
    "sequential_logistic": sequential_logistic,
    "kernel": kernel,
    "random_ridge": random_ridge,
}
