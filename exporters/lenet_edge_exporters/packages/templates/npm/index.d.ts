/** The names of the classes, in the order of the logits. */
export const labels: readonly string[];

export interface Network {
  /**
   * Classify images: @IMAGE@, one byte a pixel, row by row.
   *
   * @param pixels n images of @PIXELS@ bytes, one behind the other
   * @returns n times @CLASSES@ logits: the greater, the likelier
   */
  predict(pixels: Uint8Array): Float32Array;
}

/**
 * Load the network.
 *
 * @param source the bytes of lenet.wasm or its address; the one in this package by default
 */
export function load(source?: ArrayBuffer | ArrayBufferView | string | { readonly href: string }): Promise<Network>;
