"""Train, export, verify, evaluate, time and use a network from Python: python examples/python_api.py [FOLDER]"""

import sys
from pathlib import Path

import lenet_edge
from lenet_edge.bench.measuring import BenchPlan
from lenet_edge_runtime import Classifier

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "python-api-run")

# Three epochs on the 1,797 digits that scikit-learn carries; the recipe's own number gives a better network.
run = lenet_edge.train("lenet5", dataset="digits", epochs=3, out=folder)
print(f"test accuracy {run.record.metrics['test_accuracy']:.4f} in {run.run.folder}")

# Every file was loaded again and compared with the network before this returns.
report = lenet_edge.export(run, ["onnx", "int8"])
for artifact in report.artifacts:
    print(f"{artifact.path.name}: {artifact.bytes:,} bytes, agreement {artifact.agreement:.4f}")

# Accuracy of each file against the network on the test images that both see.
verification = lenet_edge.verify(run)
for verdict in verification.verdicts:
    interval = f"{verdict.drop_lower95_pp:+.2f} to {verdict.drop_upper95_pp:+.2f}"
    print(f"{verdict.format}: accuracy {verdict.accuracy:.4f}, drop {interval} points, passed: {verdict.passed}")

# One file alone, as on a device: its seal, its known answers, its card.
int8 = report.artifacts[-1].path
print("evidence of the int8 file holds:", lenet_edge.examine(int8).passed)

scores = lenet_edge.evaluate(int8)
print(f"log loss {scores.log_loss:.4f}, worst class {min(scores.per_class, key=lambda row: row.accuracy).label}")

results = lenet_edge.benchmark(run, plan=BenchPlan(rounds=2, calls=20))  # for real figures leave out the plan
for row in results.rows:
    print(f"{row.format}: {row.p50_us:.1f} us an image")

prediction = Classifier(int8).predict(run.data.test_pixels[0, 0])
print(f"the first test image is a {prediction.label}, with probability {prediction.probability:.3f}")
sys.exit(0 if report.passed and verification.passed else 3)
