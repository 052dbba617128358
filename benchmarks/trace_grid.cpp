// SPDX-License-Identifier: Apache-2.0
// Causal tracing of a GPT-2-small-shaped random model: 12 layers, 768 wide, 7 tokens, 3 streams = 252 cells. Reads the
// folder that benchmarks/trace_against_pyvene.py wrote (so that both have the same weights), prints seconds and the
// cells.
#include <torch/types.h>
#include <torch/utils.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "vene/base/error.h"
#include "vene/interventions/numpy_random.h"
#include "vene/io/safetensors.h"
#include "vene/models/load.h"
#include "vene/sweep/causal_trace.h"
#include "vene/sweep/sweep.h"

int main(int count, char** arguments) try {
  if (count < 3) {
    std::fprintf(stderr, "usage: trace_grid MODEL_FOLDER OUT.safetensors [threads]\n");
    return 2;
  }
  if (count > 3) torch::set_num_threads(std::atoi(arguments[3]));
  const torch::NoGradGuard no_grad;
  const auto lm = vene::models::load(arguments[1]);
  const std::int64_t layers = lm.model->layer_count();
  const std::int64_t positions = 7;
  const torch::Tensor ids = torch::tensor({464, 4687, 10664, 293, 318, 287, 9436}, torch::kInt64).unsqueeze(0);
  auto once = [&] {
    vene::Sweep sweep;
    sweep.base.input_ids = ids;
    sweep.source = vene::models::Batch{ids, {}, {}, {}};
    sweep.background.add_intervention({.component = "embedding", .intervention_type = "addition"});
    sweep.background_locations = vene::first(4);
    sweep.background_sources = {
        (vene::numpy_randn(1, {1, 4, lm.model->hidden_size()}) * 0.13462981581687927).to(torch::kFloat32)};
    for (const char* stream : {"block_output", "mlp_activation", "attention_output"}) {
      const std::int64_t window = std::string(stream) == "block_output" ? 1 : 10;
      const std::size_t first = sweep.config.representations.size();
      for (std::int64_t layer = 0; layer < layers; ++layer) {
        sweep.config.add_intervention({.layer = layer, .component = stream, .intervention_type = "vanilla"});
      }
      for (std::int64_t layer = 0; layer < layers; ++layer) {
        const auto [begin, end] = vene::restored_layers(layer, window, layers);
        for (std::int64_t position = 0; position < positions; ++position) {
          vene::Cell cell;
          for (std::int64_t l = begin; l < end; ++l)
            cell.writes.push_back({first + static_cast<std::size_t>(l), {position}, {}, {}});
          sweep.cells.push_back(std::move(cell));
        }
      }
    }
    return vene::run_sweep(sweep, lm.model, [](const torch::Tensor& logits) {
      return torch::softmax(logits.select(1, -1), -1).select(1, 7312);
    });
  };
  double best = 1e9;
  vene::SweepResult result;
  for (int round = 0; round < 3; ++round) {
    const auto start = std::chrono::steady_clock::now();
    result = once();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  vene::io::write_safetensors(
      arguments[2], {{"probability", result.values.view({3, layers, positions}).to(torch::kFloat32).contiguous()}});
  std::printf("%.4f\n", best);
} catch (const vene::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
