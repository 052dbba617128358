// SPDX-License-Identifier: Apache-2.0
// The options of a training, each described once.
#pragma once
#include <array>
#include <span>
#include <string_view>

#include "src/base/described.h"
#include "vene/train/trainer.h"

namespace vene::train {

inline std::span<const std::string_view> names_of(OptimizerKind) {
  static constexpr std::array<std::string_view, 3> kNames{"adam", "adamw", "sgd"};
  return kNames;
}
inline std::span<const std::string_view> names_of(Schedule) {
  static constexpr std::array<std::string_view, 3> kNames{"constant", "linear", "cosine"};
  return kNames;
}

/// @param Options  TrainOptions, const or not
template <class Options, class Visitor>
requires std::same_as<std::remove_const_t<Options>, TrainOptions>
void visit(Options& o, Visitor&& v) {
  using detail::above, detail::at_least, detail::count;
  constexpr bool kResumes = true;
  detail::Range share = at_least(0, "a share of the steps, 0 to 1");
  share.most = 1;
  v({"optimizer", "What takes the steps.", {}, kResumes}, o.optimizer);
  v({"learning_rate", "Of the optimizer, at its height.", at_least(0), kResumes}, o.learning_rate);
  v({"weight_decay", "Of the optimizer.", at_least(0), kResumes}, o.weight_decay);
  v({"momentum", "Of `sgd`.", at_least(0), kResumes}, o.momentum);
  v({"epochs", "How often each example is seen.", count(1)}, o.epochs);
  v({"batch_size", "Examples a batch.", count(1), kResumes}, o.batch_size);
  v({"accumulation", "Batches to a step, whose gradient is the mean over all their examples.", count(1), kResumes},
    o.accumulation);
  v({"schedule", "Of the learning rate, after the warm-up.", {}, kResumes}, o.schedule);
  v({"warm_up", "Share of the steps over which the learning rate rises linearly from 0.", share, kResumes}, o.warm_up);
  v({"clip", "Largest norm of the gradient; 0: any.", at_least(0), kResumes}, o.clip);
  v({"temperature",
     "Of the interventions that have one: `[first, last]`, from the one to the other linearly over the steps.",
     above(0, "two numbers above 0"), kResumes},
    o.temperature);
  v({"seed", "Of the order of the examples.", at_least(0), kResumes}, o.seed);
  v({"patience", "Epochs without a lower validation loss before training ends, the best state kept; 0: never.",
     count(0), kResumes},
    o.patience);
  v({"checkpoint_every", "Steps between checkpoints; 0: one at the end of each epoch.", count(0)}, o.checkpoint_every);
  v({"cache",
     "Bytes of memory for the values below the interventions, computed once an example; what does not fit goes to "
     "temporary files. 0: nothing is kept.",
     at_least(0)},
    o.cache);
  v({"task_weight", "How much the model's own cross entropy at the task labels counts, where the model trains along.",
     at_least(0), kResumes},
    o.task_weight);
}

}  // namespace vene::train
