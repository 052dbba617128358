// SPDX-License-Identifier: Apache-2.0
// Seconds of one training step (an exchange of 16 rows, backward, Adam) of a rotation alone, under each map: a full
// rotation of which 64 columns are exchanged, and a single direction. Prints lines "kind width map seconds".
//   usage: rotation_maps [THREADS]
#include <torch/optim/adam.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "vene/interventions/registry.h"

namespace {

double step_seconds(bool low_rank, std::int64_t width, const char* map) {
  torch::manual_seed(0);
  vene::InterventionSettings settings;
  settings.width = width;
  settings.options = {{"map", std::string(map)}, {"seed", std::int64_t{1}}};
  if (low_rank) settings.low_rank_dimension = 1;
  const auto intervention =
      vene::InterventionRegistry::standard().at(low_rank ? "low_rank_rotated_space" : "rotated_space").build(settings);
  const torch::Tensor base = torch::randn({16, 1, width}), source = torch::randn({16, 1, width}),
                      target = torch::randn({16, 1, width});
  const vene::Subspace columns = low_rank ? vene::Subspace{} : vene::Subspace{torch::arange(64), {}};
  torch::optim::Adam optimizer(intervention->parameters(), torch::optim::AdamOptions(1e-3));
  std::vector<double> times;
  for (int step = 0; step < 7; ++step) {
    const auto start = std::chrono::steady_clock::now();
    optimizer.zero_grad();
    (intervention->forward(base, source, columns) * target).sum().backward();
    optimizer.step();
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin() + 1, times.end());
  return times[4];
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1) torch::set_num_threads(std::atoi(arguments[1]));
  for (const std::int64_t width : {768, 1600}) {
    for (const bool low_rank : {false, true}) {
      for (const char* map : {"auto", "cayley", "householder", "matrix_exponential"}) {
        std::printf("%s %lld %s %.6f\n", low_rank ? "one_direction" : "full_rotation", static_cast<long long>(width),
                    map, step_seconds(low_rank, width, map));
        std::fflush(stdout);
      }
    }
  }
  return 0;
}
