// SPDX-License-Identifier: Apache-2.0
// What one addition costs over the plain forward: a 2-layer, 64-wide GPT-2-shaped model, one row of 6 tokens.
#include <benchmark/benchmark.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "vene/core/intervenable_model.h"
#include "vene/models/gpt2.h"

namespace {

struct Setting {
  std::shared_ptr<vene::models::Model> model;
  vene::models::Batch base;
  torch::Tensor vector = torch::randn({64});

  Setting() {
    torch::manual_seed(0);
    torch::set_num_threads(1);
    vene::models::GPT2Options options;
    options.vocab_size = 100;
    options.n_positions = 64;
    options.n_embd = 64;
    options.n_layer = 2;
    options.n_head = 4;
    model = std::make_shared<vene::models::GPT2>(options);
    for (auto& parameter : model->parameters()) parameter.set_requires_grad(false);
    base.input_ids = torch::randint(0, 100, {1, 6}, torch::kInt64);
  }
};

void PlainForward(benchmark::State& state) {
  const Setting setting;
  const torch::NoGradGuard no_grad;
  for (auto _ : state) benchmark::DoNotOptimize(setting.model->forward(setting.base));
}

void OneAddition(benchmark::State& state) {
  const Setting setting;
  const torch::NoGradGuard no_grad;
  vene::IntervenableModel intervenable(
      vene::IntervenableConfig::parse(
          R"([{"layer": 1, "component": "block_output", "intervention_type": "addition"}])"),
      setting.model);
  const vene::Plan plan = intervenable->compile(
      {.base = setting.base, .locations = vene::last(), .source_representations = {setting.vector}});
  for (auto _ : state) benchmark::DoNotOptimize(vene::run(plan, setting.base));
}

void OneAdditionCompiledEachTime(benchmark::State& state) {
  const Setting setting;
  const torch::NoGradGuard no_grad;
  vene::IntervenableModel intervenable(
      vene::IntervenableConfig::parse(
          R"([{"layer": 1, "component": "block_output", "intervention_type": "addition"}])"),
      setting.model);
  const vene::RunRequest request{
      .base = setting.base, .locations = vene::last(), .source_representations = {setting.vector}};
  for (auto _ : state) benchmark::DoNotOptimize(intervenable->forward(request));
}

BENCHMARK(PlainForward)->Unit(benchmark::kMicrosecond)->Repetitions(7)->ReportAggregatesOnly();
BENCHMARK(OneAddition)->Unit(benchmark::kMicrosecond)->Repetitions(7)->ReportAggregatesOnly();
BENCHMARK(OneAdditionCompiledEachTime)->Unit(benchmark::kMicrosecond)->Repetitions(7)->ReportAggregatesOnly();

}  // namespace

BENCHMARK_MAIN();
