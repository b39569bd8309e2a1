// Classifies one image, a known answer, and prints what it shows: node example.mjs
import { labels, load } from "@NPM_NAME@";

const image = Uint8Array.from([
@IMAGE_DATA@
]);

const network = await load();
const logits = network.predict(image);
const best = logits.indexOf(Math.max(...logits));
console.log(`answer ${labels[best]}, expected ${labels[@ANSWER@]}`);
