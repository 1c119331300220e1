"""GPU-queue forecasts with calibrated uncertainty (seed 004)."""
