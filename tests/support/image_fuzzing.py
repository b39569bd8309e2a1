"""Run by test_reliability.py in a process of its own, which a crash would end: mutated images through a classifier.

`python image_fuzzing.py MODEL COUNT SEED` prints one JSON object: how many images were refused, how many answered.
"""

import collections
import io
import json
import sys
import warnings

import numpy as np
from PIL import Image

from lenet_edge_runtime import Classifier, ImageError
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers
from mutations import mutate

FORMATS = {"PNG": {}, "JPEG": {}, "BMP": {}, "GIF": {}, "TIFF": {"compression": "tiff_lzw"}, "WEBP": {}, "PPM": {}}


def seeds(pixels: np.ndarray) -> list[bytes]:
    """The file's own images in every format, grey and in colour, with an EXIF block where the format has one."""
    found = []
    for number, (name, options) in enumerate([*FORMATS.items(), *FORMATS.items()]):
        image = Image.fromarray(pixels[number % len(pixels)]).resize((40, 48))
        image = image.convert("RGB") if number >= len(FORMATS) else image
        exif = Image.Exif()
        exif[0x0112] = 6
        buffer = io.BytesIO()
        image.save(buffer, name, **options, **({"exif": exif} if name in ("PNG", "JPEG", "TIFF", "WEBP") else {}))
        found.append(buffer.getvalue())
    return found


def main(model: str, count: int, seed: int) -> None:
    warnings.simplefilter("error")  # none may leak from a decoder, whatever the filters of the app
    classifier = Classifier(model)
    originals = seeds(KnownAnswers.from_json(classifier.metadata[KNOWN_ANSWERS]).pixels[:, 0])
    generator = np.random.default_rng(seed)
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(count):
        original = originals[number % len(originals)]
        other = originals[int(generator.integers(len(originals)))]
        content = mutate(original, other, generator)
        try:
            found = classifier.predict(content)
        except ImageError as error:
            outcomes["refused" if "\n" not in str(error) else "refused in several lines"] += 1
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content))
            image.load()
        # What Pillow can read is answered as the image that Pillow reads.
        assert found == classifier.predict(image), number
        assert abs(sum(found.probabilities) - 1) < 1e-9
        assert found.probability == max(found.probabilities)
        outcomes["answered"] += 1
    print(json.dumps(outcomes))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
