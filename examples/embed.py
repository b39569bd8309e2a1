"""Classify an image, 28 x 28 grey levels, light on dark, as binary PGM: python embed.py MODEL.onnx digit.pgm"""

import sys

import numpy as np
import onnxruntime

model, image = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
pixels = np.fromfile(image, np.uint8)[-28 * 28 :].reshape(1, 1, 28, 28)  # the header stands before the pixels
logits, probabilities = session.run(["logits", "probabilities"], {"pixels": pixels})
print("class", probabilities[0].argmax(), "probability", probabilities[0].max())
print("logits", *(f"{value:.9g}" for value in logits[0]))
