"""Whether a network, anybody's, does what nnU-Net 2.8 asks of one: a suite of named checks."""

from nnunetv2_factorizer.conformance.configurations import CONFIGURATIONS, Configuration
from nnunetv2_factorizer.conformance.suite import CHECKS, CheckResult, check_nnunet_architecture, run_checks

__all__ = ["CHECKS", "CONFIGURATIONS", "CheckResult", "Configuration", "check_nnunet_architecture", "run_checks"]
