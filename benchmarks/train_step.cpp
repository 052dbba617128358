// SPDX-License-Identifier: Apache-2.0
// One training step of a full rotation, a boundless one and a single direction at layer 6 of a GPT-2-small-shaped
// random model: 16 rows of 6 tokens. Reads the folder that benchmarks/train_step_against_pyvene.py wrote; prints a line
// "name seconds-with-kept-values seconds-without".
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "vene/base/error.h"
#include "vene/locations/locations.h"
#include "vene/models/load.h"
#include "vene/train/trainer.h"

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Median of the steps after the first two.
double step_seconds(const vene::IntervenableModel& model, const std::vector<vene::train::Example>& examples,
                    std::int64_t cache) {
  std::vector<double> times;
  double last = now();
  vene::train::TrainOptions options{.epochs = 9, .batch_size = 16, .cache = cache};
  options.progress = [&](const vene::train::Progress&) {
    const double time = now();
    times.push_back(time - last);
    last = time;
    return true;
  };
  vene::train::Trainer(model, options).fit(examples);
  std::sort(times.begin() + 2, times.end());
  return times[2 + (times.size() - 2) / 2];
}

}  // namespace

int main(int count, char** arguments) try {
  if (count < 2) {
    std::fprintf(stderr, "usage: train_step MODEL_FOLDER [threads]\n");
    return 2;
  }
  if (count > 2) torch::set_num_threads(std::atoi(arguments[2]));
  const auto lm = vene::models::load(arguments[1]);
  torch::manual_seed(0);
  const torch::Tensor base = torch::randint(50257, {16, 6}), source = torch::randint(50257, {16, 6}),
                      labels = torch::randint(50257, {16});
  auto examples_with = [&](bool columns) {
    std::vector<vene::train::Example> examples;
    for (std::int64_t row = 0; row < 16; ++row) {
      vene::train::Example example;
      example.base.input_ids = base.slice(0, row, row + 1);
      example.sources = {vene::models::Batch{source.slice(0, row, row + 1), {}, {}, {}}};
      example.locations = vene::at(3);
      if (columns) {
        vene::SubspaceIds ids{{{}}};
        for (std::int64_t column = 0; column < 64; ++column) ids.rows[0].push_back(column);
        example.subspaces = {ids};
      }
      example.labels = {{labels[row].item<std::int64_t>(), -1}};
      examples.push_back(example);
    }
    return examples;
  };
  for (const auto& [name, columns] : {std::pair("rotated_space", true), std::pair("boundless_rotated_space", false),
                                      std::pair("low_rank_rotated_space", false)}) {
    double seconds[2];
    for (const int kept : {1, 0}) {
      vene::IntervenableModel model(
          vene::IntervenableConfig::parse(
              std::string(
                  R"([{"layer": 6, "component": "block_output", "low_rank_dimension": 1, "seed": 1, "intervention_type": ")") +
              name + R"("}])"),
          lm.model);
      seconds[1 - kept] = step_seconds(model, examples_with(columns), kept ? std::int64_t{1} << 30 : 0);
    }
    std::printf("%s %.4f %.4f\n", name, seconds[0], seconds[1]);
  }
  const torch::NoGradGuard no_grad;
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    const double start = now();
    lm.model->forward({base, {}, {}, {}});
    best = std::min(best, now() - start);
  }
  std::printf("forward %.4f\n", best);
} catch (const vene::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
