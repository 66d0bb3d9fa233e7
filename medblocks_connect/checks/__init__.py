"""System checks: Django registers them when they are imported."""

from medblocks_connect.checks.catalog_workspace import check_catalog
from medblocks_connect.checks.deployment import check_deployment
from medblocks_connect.checks.setting_values import check_settings

__all__ = ["check_catalog", "check_deployment", "check_settings"]
