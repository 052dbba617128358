// SPDX-License-Identifier: Apache-2.0
// What a run keeps between its passes, and the scope that its hooks find it through. Private to core.
#pragma once
#include <any>
#include <map>
#include <vector>

#include "src/core/plan_data.h"

namespace vene::detail {

// Under which key of `RunState::steps` the value of a decoding step of unit "t" is: behind every call of the prompt.
constexpr std::int64_t kDecoded = std::int64_t{1} << 40;

struct RunState {
  std::vector<torch::Tensor> sources;  // by representation: gathered source values
  struct RowCounts {
    UnitIndex::Counts units;
    KeyCounts keys;  // of attention
  };
  std::vector<std::map<std::int64_t, RowCounts>> source_counts;  // what each row of them has, by step
  std::vector<torch::Tensor> collected;                          // by representation
  std::vector<torch::Tensor> valid;                          // which units its rows have, where they differ; of step 0
  std::vector<std::map<std::int64_t, torch::Tensor>> steps;  // unit "t" and generations: by representation and call
  std::vector<torch::Tensor> step_stack;                     // the source's steps as [calls * rows, width]
  std::vector<std::int64_t> fired;                           // acts of each representation on its target
  std::vector<std::any> memory;  // what each representation's intervention keeps from step to step

  explicit RunState(std::size_t count)
      : sources(count),
        source_counts(count),
        collected(count),
        valid(count),
        steps(count),
        step_stack(count),
        fired(count, 0),
        memory(count) {}
};

class RunScope : public HookScope {
 public:
  RunScope(const PlanData& plan, std::size_t pass, RunState& state) : RunScope(plan, plan.passes[pass], state) {}
  RunScope(const PlanData& plan, const Pass& pass, RunState& state)
      : HookScope(pass.table), plan_(plan), pass_(pass), state_(state), pending_(pass_.actions.size()) {}

  /// A generation's scope lives over all its steps, each one forward of the model. `recomputed_prompt`: 0 with a cache,
  /// else the length of the prompts, which each forward computes again with every token after them.
  void begin_step(std::int64_t step, std::int64_t recomputed_prompt);

  /// One firing of one action of the pass.
  void act(const HookContext& context, std::size_t action);

 private:
  void read(const HookContext& context, const Placement& placement);
  void write(const HookContext& context, const Placement& placement);
  void collect(const HookContext& context, const Placement& placement);
  torch::Tensor written(const torch::Tensor& value, const Placement& placement, std::int64_t step);
  bool part_of_step(torch::Tensor& value, const Placement& placement, std::int64_t step) const;
  /// Unit "t": where a call of a recurrent cell stands in a generation. In a run all are of step 0.
  struct CellCall {
    std::int64_t step = 0;   // of the generation
    std::int64_t call = 0;   // within that step
    std::int64_t place = 0;  // among all positions
  };
  CellCall cell_call(std::int64_t call) const;
  const Steps& steps_at(const Placement& placement, std::int64_t step) const {
    return step == 0 ? placement.steps : placement.steps_decoding;
  }
  /// The source's calls that are read in its prompt.
  const std::vector<std::int64_t>& wanted_calls(const Placement& placement) const;
  void write_step(const HookContext& context, const Placement& placement);
  torch::Tensor step_source(const Placement& placement, const Steps::Call* chosen, const CellCall& at);
  torch::Tensor intervene(const Placement& placement, const torch::Tensor& base, const torch::Tensor& source,
                          const torch::Tensor& rows);
  /// The same for the units of an index: where rows have different numbers of keys, once for the rows of each number.
  torch::Tensor intervene_by_keys(const Placement& placement, const UnitIndex& index, const torch::Tensor& base,
                                  const torch::Tensor& source);
  /// The value that the action is about, and its replacement.
  torch::Tensor live(const HookContext& context) const;
  void replace(const HookContext& context, const torch::Tensor& value) const;

  const PlanData& plan_;
  const Pass& pass_;
  RunState& state_;
  std::int64_t step_ = 0;  // of a generation; the one forward of a run is step 0
  std::int64_t recomputed_prompt_ = 0;
  std::size_t pending_;             // actions that have not had their last firing
  std::int64_t call_ = 0;           // of the firing in progress; of a recurrent cell, its place
  const SitePart* part_ = nullptr;  // of the hooked value, which the action in progress is about
};

}  // namespace vene::detail
