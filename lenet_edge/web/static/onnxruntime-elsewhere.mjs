// onnxruntime-web from another server. Its two files are fetched, compared with the hashes that were pinned when this page
// was made (the browser does it, and rejects what differs), and only then run.

const address = "{{address}}";
const pinned = {{pinned}};

async function fetched(name) {
  const integrity = pinned[name];
  try {
    return await (await fetch(address + name, { integrity, referrerPolicy: "no-referrer", credentials: "omit" })).arrayBuffer();
  } catch (error) {
    throw new Error(`${address}${name} cannot be fetched, or is not the file that was pinned (${integrity}): ${error.message}`);
  }
}

const [module, wasm] = await Promise.all(Object.keys(pinned).map(fetched));
const source = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
export const ort = await import(source);
URL.revokeObjectURL(source);
ort.env.wasm.wasmBinary = wasm;
