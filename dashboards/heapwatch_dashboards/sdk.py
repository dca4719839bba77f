"""The parts of Grafana's foundation SDK that build classic dashboards: JSON that Grafana 10 and later read.

Everything here imports the SDK through this module.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # On import the SDK warns that it prefers the newer format, which only the newest Grafana reads.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import common as common_builders
    from grafana_foundation_sdk.builders import (
        dashboard,
        grafanapyroscope,
        prometheus,
        stat,
        table,
        timeseries,
    )
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common, units
    from grafana_foundation_sdk.models import dashboard as models
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "Builder",
    "JSONEncoder",
    "PromQueryFormat",
    "common",
    "common_builders",
    "dashboard",
    "grafanapyroscope",
    "models",
    "prometheus",
    "stat",
    "table",
    "timeseries",
    "units",
]
