r"""Whether an amortized guide is calibrated, on data that the model itself draws."""

from .bands import uniform_band, uniform_p_values
from .calibrate import calibration
from .coverage import distances, nearest
from .faults import Fault, fault
from .holm import holm
from .predictive import summaries
from .ranks import Quantity, ranks
from .result import Calibration
from .simulated import Simulated, simulated

__all__ = [
    "Calibration",
    "Fault",
    "Quantity",
    "Simulated",
    "calibration",
    "distances",
    "fault",
    "holm",
    "nearest",
    "ranks",
    "simulated",
    "summaries",
    "uniform_band",
    "uniform_p_values",
]
