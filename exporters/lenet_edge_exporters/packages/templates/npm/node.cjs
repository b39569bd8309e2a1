// The same for require().
exports.labels = JSON.parse(require("./lenet.json")["lenet_edge.labels"]);
exports.load = async (source) => (await import("./node.mjs")).load(source);
