# The README's two commands, in a container:
#   docker build -t lenet-edge .
#   docker run --rm lenet-edge                # lenet-edge quickstart
#   docker run --rm lenet-edge pytest -n auto # the tests
FROM python:3.11-slim

# Compilers and emulators for the tests of the C and WebAssembly exports; the other tests need none of them.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ libc6-dev cmake make clang lld qemu-user nodejs \
    && rm -rf /var/lib/apt/lists/*
# The CPU builds of torch are a tenth of PyPI's, which carry CUDA.
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu

WORKDIR /lenet-edge
COPY . .
RUN pip install --no-cache-dir -e ".[train,dev]" && useradd --create-home user && chown -R user /lenet-edge
USER user
CMD ["lenet-edge", "quickstart"]
