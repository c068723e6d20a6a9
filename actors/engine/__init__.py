"""Chains, exposure, corroboration and signals: pure core and the engine actor."""
