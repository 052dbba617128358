// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vene/base/error.h"
#include "vene/base/export.h"
#include "vene/core/intervenable_model.h"
#include "vene/train/example.h"
#include "vene/train/metrics.h"

namespace vene::train {

enum class OptimizerKind : std::uint8_t { kAdam, kAdamW, kSGD };
enum class Schedule : std::uint8_t { kConstant, kLinear, kCosine };

/// One optimiser step.
struct StepRecord {
  std::int64_t step = 0;  ///< counted from 0
  std::int64_t epoch = 0;
  double loss = 0;
  double accuracy = 0;  ///< of the step's own examples, before the step
  double learning_rate = 0;
  double temperature = 0;  ///< 0 without a schedule
};

/// An evaluation after an epoch.
struct EpochRecord {
  std::int64_t epoch = 0;
  Metrics validation{};
};

struct Progress {
  const StepRecord& latest;
  std::int64_t steps = 0;  ///< in all
};

struct TrainOptions {
  OptimizerKind optimizer = OptimizerKind::kAdam;
  double learning_rate = 1e-3;
  double weight_decay = 0;
  double momentum = 0;  ///< of SGD
  std::int64_t epochs = 1;
  std::int64_t batch_size = 16;
  std::int64_t accumulation = 1;  ///< batches to a step; the step's gradient is the mean over all their examples
  Schedule schedule = Schedule::kConstant;
  double warm_up = 0;  ///< share of the steps over which the learning rate rises linearly from 0
  double clip = 0;     ///< largest norm of the gradient; 0: any
  /// Temperature of the interventions that have one: from the first to the second, linearly over the steps.
  std::optional<std::pair<double, double>> temperature{};
  std::uint64_t seed = 0;  ///< of the order of the examples
  /// Epochs without a lower validation loss before training ends, the best state kept; 0: never
  std::int64_t patience = 0;
  /// What to minimise, of logits [rows, labels, vocabulary] at the labels of a batch, a scalar: a mean over its rows.
  /// Without one: cross entropy.
  std::function<torch::Tensor(const torch::Tensor& logits, const ExampleBatch& batch)> loss{};
  /// Joint training: how much the cross entropy of the model's own run, without interventions, at the examples' task
  /// labels counts beside that loss. Only where the model trains along, and every example has task labels. 0: not at
  /// all.
  double task_weight = 0;
  /// Told after each step; returns false to stop there.
  std::function<bool(const Progress&)> progress{};
  std::string output{};  ///< folder for log.csv, validation.csv and checkpoint.safetensors; empty: nothing is written
  std::int64_t checkpoint_every = 0;  ///< steps between checkpoints; 0: one at the end of each epoch
  bool resume = false;                ///< go on from the output's checkpoint, where there is one
  /// Bytes of memory (the device's, where the model is on one) that values below the interventions may be kept in, to
  /// be computed once an example instead of once an epoch; what does not fit goes to temporary files. 0: nothing is
  /// kept. Only for staged models that do not train along, in parallel mode; results are the same.
  std::int64_t cache = std::int64_t{1} << 30;
};

struct TrainReport {
  std::vector<StepRecord> steps{};
  std::vector<EpochRecord> epochs{};
  bool cancelled = false;      ///< by `progress`
  bool stopped_early = false;  ///< out of patience
};

class ExampleSet;

/// The loss was not a number. The parameters are put back to the last ones of which it was one.
class VENE_API DivergedError : public PlanError {
 public:
  DivergedError(const std::string& message, bool trained) : PlanError(message), trained_(trained) {}
  /// Whether they are other ones than those of the start.
  bool trained() const noexcept { return trained_; }

 private:
  bool trained_;
};

/// Trains the interventions of a model (and what `enable_model_gradients` says of the model) on examples.
class VENE_API Trainer {
 public:
  Trainer(IntervenableModel model, TrainOptions options);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Throws PlanError for examples that do not fit (see `check`), and DivergedError, which names the step, when the
  /// loss is not a number.
  TrainReport fit(const std::vector<Example>& examples, const std::vector<Example>& validation = {});
  /// Throws PlanError, naming the example, for labels outside the vocabulary or the text, locations that are not there,
  /// and sources or subspaces that do not fit.
  void check(const std::vector<Example>& examples) const;
  /// Means over the examples. `kl` also runs the model without interventions.
  Metrics evaluate(const std::vector<Example>& examples, bool kl = false);
  /// Logits at the labels, [rows, labels, vocabulary].
  torch::Tensor logits(const ExampleBatch& batch);

 private:
  struct Run;
  Metrics measure(const ExampleSet& examples, bool kl);
  IntervenableModel model_;
  TrainOptions options_;
};

/// Factor of the learning rate at a step: from 0 over the warm-up to 1, then constant, linearly to 0, or along half a
/// cosine to 0.
VENE_API double schedule_factor(Schedule schedule, std::int64_t step, std::int64_t steps, double warm_up);

/// The validation log as Trainer writes it: epoch, loss, accuracy, logit_difference.
VENE_API std::string validation_csv(const std::vector<EpochRecord>& epochs);

/// The log as Trainer writes it: step, epoch, loss, accuracy, learning_rate, temperature.
VENE_API std::string training_csv(const std::vector<StepRecord>& steps);

}  // namespace vene::train
