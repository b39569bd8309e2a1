"""`python -m lenet_edge` is `lenet-edge`."""

from lenet_edge.cli import main

main()
