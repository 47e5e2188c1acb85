"""How far the probabilities that a model gives are from how often it is right."""

import numpy as np


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """The mean gap between confidence and accuracy, over bins of equal width of the confidence.

        sum over the bins of rows in it / rows * |accuracy in it - mean confidence in it|

    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", 2015; Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks",
    2017.

    Args:
        probabilities: `(rows, classes)`; the greatest of a row is its confidence.
        labels: `(rows,)` integers.
        bins: how many the confidences from 0 to 1 are sorted into.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, right, bins) - np.bincount(place, confidence, bins)
    return float(np.abs(gaps).sum() / len(labels))
