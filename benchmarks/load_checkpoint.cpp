// SPDX-License-Identifier: Apache-2.0
// Seconds until a checkpoint is ready, seconds of one forward over one token after it (which touches every weight), and
// the most memory held, in bytes per byte of weights, beyond what the program held before.
//   usage: load_checkpoint MODEL_DIR
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

#include "vene/base/error.h"
#include "vene/models/load.h"

namespace {

double most_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int count, char** arguments) try {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s MODEL_DIR\n", arguments[0]);
    return 2;
  }
  const torch::NoGradGuard no_grad;
  torch::ones({8, 8}).mm(torch::ones({8, 8}));  // what LibTorch sets up at its first product is not the checkpoint's
  const double before = most_memory();
  const auto start = std::chrono::steady_clock::now();
  const auto lm = vene::models::load(arguments[1]);
  const double ready = since(start), loaded = most_memory();
  double bytes = 0;
  for (const torch::Tensor& parameter : lm.model->parameters()) bytes += static_cast<double>(parameter.nbytes());
  const auto first = std::chrono::steady_clock::now();
  lm.model->forward({.input_ids = torch::tensor({{1}}, torch::kInt64)});
  std::printf("%.4f %.4f %.4f %.4f\n", ready, since(first), (loaded - before) / bytes,
              (most_memory() - before) / bytes);
  return 0;
} catch (const vene::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
