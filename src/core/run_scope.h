// SPDX-License-Identifier: Apache-2.0
// What a run keeps between its passes, and the scope that its hooks find it through. Private to core.
#pragma once
#include <any>
#include <map>
#include <vector>

#include "src/core/plan_data.h"

namespace vene::detail {

struct RunState {
  std::vector<torch::Tensor> sources;    // by representation: gathered source values
  std::vector<torch::Tensor> collected;  // by representation
  std::vector<std::map<std::int64_t, torch::Tensor>> steps;  // unit "t": by representation and call
  std::vector<torch::Tensor> step_stack;                     // the source's steps as [calls * rows, width]
  std::vector<std::int64_t> fired;                           // acts of each representation on its target
  std::vector<std::any> memory;                              // what each representation's intervention keeps from step to step

  explicit RunState(std::size_t count) : sources(count), collected(count), steps(count), step_stack(count), fired(count, 0), memory(count) {}
};

class RunScope : public HookScope {
 public:
  RunScope(const PlanData& plan, std::size_t pass, RunState& state)
      : HookScope(plan.passes[pass].table), plan_(plan), pass_(plan.passes[pass]), state_(state), pending_(pass_.actions.size()) {}

  /// One firing of one action of the pass.
  void act(const HookContext& context, std::size_t action);

 private:
  void read(const HookContext& context, const Placement& placement);
  void write(const HookContext& context, const Placement& placement);
  void collect(const HookContext& context, const Placement& placement);
  void write_step(const HookContext& context, const Placement& placement);
  torch::Tensor step_source(const Placement& placement, const Steps::Call* chosen);
  torch::Tensor intervene(const Placement& placement, const torch::Tensor& base, const torch::Tensor& source, const torch::Tensor& rows);

  const PlanData& plan_;
  const Pass& pass_;
  RunState& state_;
  std::size_t pending_;  // actions that have not had their last firing
  std::int64_t call_ = 0;  // of the firing in progress
};

}  // namespace vene::detail
