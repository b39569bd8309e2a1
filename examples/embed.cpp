// Classify an image, 28 x 28 grey levels, light on dark, as binary PGM: ./embed MODEL.onnx digit.pgm
// g++ -std=c++17 embed.cpp -I$ORT_HOME/include -L$ORT_HOME/lib -lonnxruntime -Wl,-rpath,$ORT_HOME/lib -o embed
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  Ort::Env env;
  Ort::Session session(env, argv[1], Ort::SessionOptions{});

  std::array<uint8_t, 28 * 28> pixels;
  std::ifstream image(argv[2], std::ios::binary);
  image.seekg(-static_cast<int>(pixels.size()), std::ios::end);  // the header stands before the pixels
  if (!image.read(reinterpret_cast<char*>(pixels.data()), pixels.size())) return 1;

  const std::array<int64_t, 4> shape{1, 1, 28, 28};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto input = Ort::Value::CreateTensor(memory, pixels.data(), pixels.size(), shape.data(), shape.size());
  const char *inputs[] = {"pixels"}, *outputs[] = {"logits", "probabilities"};
  const auto found = session.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 2);

  const size_t classes = found[0].GetTensorTypeAndShapeInfo().GetElementCount();
  const float *logits = found[0].GetTensorData<float>(), *probabilities = found[1].GetTensorData<float>();
  const float* best = std::max_element(probabilities, probabilities + classes);
  std::printf("class %td probability %.9g\nlogits", best - probabilities, *best);
  for (size_t i = 0; i < classes; ++i) std::printf(" %.9g", logits[i]);
  std::printf("\n");
}
