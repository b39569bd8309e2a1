"""The one family of exceptions of all three storeys.

LenetEdgeError            exit 1: bad input; the message says what was got, expected, and what to type next
├── ImageError            not an image that can be read
├── ModelFileError        not a model file, or not the one it says it is
├── ArgumentError         exit 2, and a ValueError: a number of threads or an array that a function does not take
├── ProviderError         an execution provider that onnxruntime has not, or that does not run the model
├── DataError             a data set is missing, damaged or unusable
├── RunError              a run folder is missing, in use, unfinished or cannot be written
├── WeightsError          weights that do not fit the model they were said to be for
│   └── UnclearWeightsError  exit 2: they fit several nets alike; an option has to say which
├── ClusterError          no Dask scheduler answers, or its workers cannot do what they are given
├── TrainingError         training cannot go on (a NaN loss, a device that is not there)
├── TrackingError         an MLflow server or database does not take what it is given
├── ResultsError          measured results that are none, or of another machine
├── SigningError          a key or a signature that is none
├── MissingExtraError     a package of the `train` extra is not installed
├── WebError              a web page cannot be written or served
└── GateError             exit 3: an exported file is not as good as it has to be
"""


class LenetEdgeError(Exception):
    """Base of all errors that a user can mend; the command line prints one as one line and exits with `exit_code`."""

    exit_code = 1


class ImageError(LenetEdgeError):
    """An image is missing, damaged, too large, or of a shape that a model cannot take."""


class ModelFileError(LenetEdgeError):
    """A file is not a model, or not the model that it says it is."""


class ArgumentError(LenetEdgeError, ValueError):
    """A function was given what it does not take."""

    exit_code = 2


class ProviderError(LenetEdgeError):
    """The execution provider that was asked for is not there, or does not run the whole of the model."""


class DataError(LenetEdgeError):
    """A data set is missing, damaged, or cannot be used for training."""


class RunError(LenetEdgeError):
    """A run folder is missing, unfinished, in use by another process, or cannot be written."""


class WeightsError(LenetEdgeError):
    """Weights do not fit the architecture, or their file is not a plain table of tensors."""


class UnclearWeightsError(WeightsError):
    """Weights fit several networks alike, and an option has to say which is theirs."""

    exit_code = 2


class ClusterError(LenetEdgeError):
    """A Dask cluster cannot be reached, or its workers cannot do what they are given."""


class TrainingError(LenetEdgeError):
    """Training cannot start or go on."""


class TrackingError(LenetEdgeError):
    """An experiment tracker cannot be reached, or does not take what it is given."""


class ResultsError(LenetEdgeError):
    """A file is not the results of a measurement, or they cannot be compared with these."""


class SigningError(LenetEdgeError):
    """A key or a detached signature that is none."""


class MissingExtraError(LenetEdgeError):
    """A command needs a package of an extra that is not installed."""


class WebError(LenetEdgeError):
    """A web page's folder, its engine or its server cannot be had as asked for."""


class GateError(LenetEdgeError):
    """An exported file does not hold what it has to hold."""

    exit_code = 3
