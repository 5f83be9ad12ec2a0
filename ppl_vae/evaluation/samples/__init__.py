r"""How well samples of a model match held-out data."""

from .classifier import ClassifierTest, classifier_test
from .comparison import Comparison
from .features import Features, fit_features
from .frechet import frechet_distance, gaussian_distance
from .precision import PrecisionRecall, precision_recall
from .quality import SampleQuality, sample_quality

__all__ = [
    "ClassifierTest",
    "Comparison",
    "Features",
    "PrecisionRecall",
    "SampleQuality",
    "classifier_test",
    "fit_features",
    "frechet_distance",
    "gaussian_distance",
    "precision_recall",
    "sample_quality",
]
