"""The first test image of each class of a data set, as C: python images.py mnist > images.h"""

import sys

import numpy as np

from lenet_edge.data.datasets import load_dataset

data = load_dataset(sys.argv[1])
firsts = [int(np.flatnonzero(data.test_labels == label)[0]) for label in range(len(data.labels))]
print(f"/* Of {data.name}: test images {', '.join(map(str, firsts))}. */")
print(f"enum {{ IMAGES = {len(firsts)} }};")
print(f"static const int classes[IMAGES] = {{{', '.join(map(str, range(len(firsts))))}}};")
print("static const uint8_t images[IMAGES][LENET_PIXELS] = {")
for index in firsts:
    print(f"    {{{', '.join(map(str, data.test_pixels[index].reshape(-1)))}}},")
print("};")
