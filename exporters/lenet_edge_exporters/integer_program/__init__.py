"""The quantized network as a chain of integer steps, from which the C, WebAssembly and TFLite exports are written."""
