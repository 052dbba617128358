// SPDX-License-Identifier: Apache-2.0
// A GRU of 64 units, plain and with an exchange at every step, over sequences of ten and of a thousand steps. Time is a
// step's: the two lengths must agree.
#include <benchmark/benchmark.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "vene/core/intervenable_model.h"
#include "vene/models/gru.h"

namespace {

struct Setting {
  explicit Setting(std::int64_t steps) {
    torch::set_num_threads(1);
    torch::manual_seed(0);
    vene::models::GRUOptions options;
    options.h_dim = 64;
    model = std::make_shared<vene::models::GRU>(options);
    base.inputs_embeds = torch::randn({4, steps, 64});
    source.inputs_embeds = torch::randn({4, steps, 64});
  }
  std::shared_ptr<vene::models::GRU> model;
  vene::models::Batch base, source;
};

void per_step(benchmark::State& state) {
  state.counters["s/step"] = benchmark::Counter(
      static_cast<double>(state.range(0)), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void PlainForward(benchmark::State& state) {
  const Setting setting(state.range(0));
  const torch::NoGradGuard no_grad;
  for (auto _ : state) benchmark::DoNotOptimize(setting.model->forward(setting.base));
  per_step(state);
}

void ExchangeEveryStep(benchmark::State& state) {
  const Setting setting(state.range(0));
  const torch::NoGradGuard no_grad;
  vene::IntervenableModel intervenable(
      vene::IntervenableConfig::parse(R"([{"component": "cell_output", "unit": "t", "intervention_type": "vanilla"}])"),
      setting.model);
  const vene::RunRequest request{.base = setting.base, .sources = {setting.source}, .locations = vene::all()};
  for (auto _ : state) benchmark::DoNotOptimize(intervenable->forward(request));
  per_step(state);
}

BENCHMARK(PlainForward)->Arg(10)->Arg(1000)->Unit(benchmark::kMillisecond);
BENCHMARK(ExchangeEveryStep)->Arg(10)->Arg(1000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
