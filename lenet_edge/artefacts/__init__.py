"""From a run to its exported files: calibration, choice of layers, the gate, and the model card."""
