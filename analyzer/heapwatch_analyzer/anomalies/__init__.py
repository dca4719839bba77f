"""Instances that behave unlike their past and their peers, with the metrics that made them stand out."""

from .detector import Detector
from .find import anomalies

__all__ = ["Detector", "anomalies"]
