"""What a kind of step does to a model, measured: sharpness, calibration, robustness."""
