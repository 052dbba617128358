// SPDX-License-Identifier: Apache-2.0
#include "vene/train/trainer.h"

#include <ATen/Context.h>
#include <torch/optim/optimizer.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <filesystem>
#include <tuple>

#include "src/base/memory.h"
#include "src/core/needed_logits.h"
#include "src/train/checkpoint.h"
#include "src/train/example_set.h"
#include "src/train/frozen.h"
#include "src/train/optimizer.h"
#include "src/train/options.h"
#include "src/train/shape_key.h"
#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/models/trusted_batches.h"

namespace vene::train {
namespace {

using torch::Tensor;

// [rows, positions, vocabulary] at columns [rows, labels]; a classifier's [rows, classes] stand for every label.
Tensor at_columns(const Tensor& logits, const Tensor& positions) {
  if (logits.dim() == 2) return logits.unsqueeze(1).expand({-1, positions.size(1), -1});
  const Tensor columns = positions.to(logits.device()).unsqueeze(-1).expand({-1, -1, logits.size(-1)});
  return logits.gather(1, columns);
}

const Tensor& needed(const Tensor& logits, const models::Model& model) {
  return vene::detail::needed_logits(logits, model, "training");
}

// Cross entropy of the model's own run at the task labels, a mean over the batch.
Tensor task_loss(models::Model& model, const ExampleBatch& batch) {
  const Tensor logits = at_columns(needed(model.forward(batch.request.base).logits, model), batch.task_positions);
  return cross_entropy(logits, batch.task_tokens.to(logits.device())).mean();
}

NamedTensors numbered(const std::vector<Tensor>& tensors) {
  NamedTensors named;
  for (std::size_t i = 0; i < tensors.size(); ++i) named.emplace_back(std::to_string(i), tensors[i].detach().clone());
  return named;
}

void keep(NamedTensors& kept, const std::vector<Tensor>& tensors) {
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < kept.size(); ++i) kept[i].second.copy_(tensors[i]);
}

// As torch::nn::utils::clip_grad_norm_, which waits for a device to give the norm back.
void clip_gradients(const std::vector<Tensor>& parameters, double most) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> gradients, norms;
  for (const Tensor& parameter : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  for (const Tensor& gradient : gradients) norms.push_back(gradient.norm(2.0));
  if (norms.empty()) return;
  const Tensor whole = norms.size() == 1 ? norms[0] : torch::stack(norms).norm(2.0);
  const Tensor factor = torch::clamp(most / (whole + 1e-6), std::nullopt, 1.0);
  for (Tensor& gradient : gradients) gradient.mul_(factor);
}

void put_back(const std::vector<Tensor>& tensors, const NamedTensors& values, const std::string& what = "parameter") {
  if (values.size() != tensors.size()) {
    throw PlanError("the checkpoint holds " + std::to_string(values.size()) + " " + what + "s, this training has " +
                    std::to_string(tensors.size()));
  }
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < values.size(); ++i) {
    // They are numbered in their order, which a file need not keep.
    const std::string name = std::to_string(i);
    const auto found =
        std::find_if(values.begin(), values.end(), [&](const auto& entry) { return entry.first == name; });
    if (found == values.end()) throw PlanError("the checkpoint has no " + what + " " + name);
    const Tensor& value = found->second;
    Tensor tensor = tensors[i];
    if (tensor.sizes() != value.sizes())
      throw PlanError("the checkpoint's " + what + " " + name + " is of another shape than this training's");
    tensor.copy_(value);
  }
}

std::string short_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

void check_values(const TrainOptions& options) {
  visit(options, detail::CheckOptions([](const detail::OptionText& option, double came) {
          throw PlanError(std::string(option.name) + " is " + short_text(came) + ", expected " +
                          option.range.expected(came));
        }));
  if (const std::int64_t memory = detail::machine_memory();
      options.cache != TrainOptions().cache && options.cache > memory)
    throw PlanError("cache is " + std::to_string(options.cache) + " bytes, and this machine has memory for " +
                    std::to_string(memory));
  if (options.momentum > 0 && options.optimizer != OptimizerKind::kSGD)
    throw PlanError("momentum is " + short_text(options.momentum) + ", and only the optimizer sgd has one");
  if (options.resume && options.output.empty())
    throw PlanError("resume is set, but there is no output folder to go on from");
}

}  // namespace

double schedule_factor(Schedule schedule, std::int64_t step, std::int64_t steps, double warm_up) {
  const auto rising = static_cast<std::int64_t>(std::llround(warm_up * static_cast<double>(steps)));
  if (step < rising) return static_cast<double>(step) / static_cast<double>(rising);
  if (schedule == Schedule::kConstant) return 1;
  const double done =
      static_cast<double>(step - rising) / static_cast<double>(std::max<std::int64_t>(1, steps - rising));
  return schedule == Schedule::kLinear ? std::max(0.0, 1 - done) : 0.5 * (1 + std::cos(M_PI * std::min(1.0, done)));
}

std::string validation_csv(const std::vector<EpochRecord>& epochs) {
  std::string text = "epoch,loss,accuracy,logit_difference\n";
  for (const EpochRecord& r : epochs) {
    char line[120];
    std::snprintf(line, sizeof line, "%lld,%.9g,%.9g,%.9g\n", static_cast<long long>(r.epoch), r.validation.loss,
                  r.validation.accuracy, r.validation.logit_difference);
    text += line;
  }
  return text;
}

std::string training_csv(const std::vector<StepRecord>& steps) {
  std::string text = "step,epoch,loss,accuracy,learning_rate,temperature\n";
  for (const StepRecord& r : steps) {
    char line[160];
    std::snprintf(line, sizeof line, "%lld,%lld,%.9g,%.9g,%.9g,%.9g\n", static_cast<long long>(r.step),
                  static_cast<long long>(r.epoch), r.loss, r.accuracy, r.learning_rate, r.temperature);
    text += line;
  }
  return text;
}

// One call of fit.
struct Trainer::Run {
  Run(Trainer& trainer, const std::vector<Example>& examples, const std::vector<Example>& validation)
      : trainer(trainer),
        options(trainer.options_),
        set(examples),
        validation(validation),
        parameters(trainer.model_->trainable_parameters()),
        constants(trainer.model_->buffers()) {
    if (parameters.empty())
      throw PlanError(
          "there is nothing to train: no intervention of this config has parameters, and the model is frozen");
    check_options(examples, validation);
    optimizer = make_optimizer(options, parameters);
    if (options.cache > 0 && FrozenValues::fits(*trainer.model_))
      frozen = std::make_unique<FrozenValues>(trainer.model_, set, options.batch_size, options.cache);
    const auto count = static_cast<std::int64_t>(set.batches(options.batch_size, options.seed).size());
    steps_per_epoch = (count + options.accumulation - 1) / options.accumulation;
    steps = steps_per_epoch * options.epochs;
    identity = training_identity(options, *trainer.model_, examples, validation, steps);
    if (!options.output.empty()) {
      io::make_folder(options.output);
      lock = std::make_unique<io::FolderLock>(options.output);
      folder = options.output;
    }
    if (options.resume && std::filesystem::exists(folder / "checkpoint.safetensors")) resume();
  }

  void check_options(const std::vector<Example>& examples, const std::vector<Example>& validation) const {
    if (options.patience > 0 && validation.empty())
      throw PlanError("patience waits for a lower validation loss, and there are no validation examples");
    if (options.temperature && trainer.model_->set_temperature(options.temperature->first) == 0)
      throw PlanError("a temperature schedule is set, and no intervention has a temperature");
    if (options.task_weight == 0) return;
    if (trainer.model_->trained_parts().empty())
      throw PlanError("task_weight weighs what the model does by itself, and the model is frozen");
    for (std::size_t i = 0; i < examples.size(); ++i) {
      if (examples[i].task_labels.empty())
        throw PlanError(name_of(examples[i], i) + ": it has no task labels, and task_weight asks for them");
    }
  }

  void resume() {
    now = read_checkpoint((folder / "checkpoint.safetensors").string(), identity);
    put_back(parameters, now.parameters);
    put_back(constants, now.constants, "constant");
    restore_optimizer(*optimizer, options.optimizer, parameters, now.optimizer);
    set_random({now.generator, now.device_generator});
    write();  // a process that was killed may have got no further than the checkpoint
  }

  // What LibTorch draws from: the CPU's generator, and that of the model's device.
  std::pair<Tensor, Tensor> random() const {
    const torch::Device device = trainer.model_->model()->device();
    return {at::detail::getDefaultCPUGenerator().get_state(),
            device.is_cpu() ? Tensor() : at::globalContext().defaultGenerator(device).get_state()};
  }
  void set_random(const std::pair<Tensor, Tensor>& states) const {
    at::Generator(at::detail::getDefaultCPUGenerator()).set_state(states.first);
    const torch::Device device = trainer.model_->model()->device();
    // A checkpoint that another device wrote says nothing of this one.
    if (!device.is_cpu() && states.second.defined())
      at::Generator(at::globalContext().defaultGenerator(device)).set_state(states.second);
  }

  void write() {
    if (folder.empty()) return;
    now.parameters = numbered(parameters);
    now.constants = numbered(constants);
    now.optimizer = optimizer_state(*optimizer, options.optimizer, parameters);
    std::tie(now.generator, now.device_generator) = random();
    write_checkpoint((folder / "checkpoint.safetensors").string(), now, identity);
    io::write_file((folder / "log.csv").string(), training_csv(now.report.steps));
    if (validation.size() > 0) io::write_file((folder / "validation.csv").string(), validation_csv(now.report.epochs));
  }

  Tensor logits(const ExampleBatch& batch) {
    return frozen ? at_all(frozen->run(batch), *trainer.model_->model()) : trainer.logits(batch);
  }
  // The frozen run computed nothing but the labels' logits.
  static Tensor at_all(const Result& result, const models::Model& model) {
    const Tensor& logits = needed(result.intervened.logits, model);
    return logits.dim() == 2 ? logits.unsqueeze(1) : logits;
  }

  // Gradients of the mean loss over the examples of some batches; false when it is not a number.
  bool accumulate(const std::vector<std::vector<std::size_t>>& epoch, std::size_t first, StepRecord& record) {
    const std::size_t last = std::min(epoch.size(), first + static_cast<std::size_t>(options.accumulation));
    double rows = 0;
    for (std::size_t b = first; b < last; ++b) rows += static_cast<double>(epoch[b].size());
    optimizer->zero_grad();
    // A loss and an accuracy a batch. On a device they are read when all is under way: one wait a step.
    std::vector<Tensor> measured;
    const auto noted = [&](const Tensor& measures, double share) {
      record.loss += measures[0].item<double>() * share;
      if (!std::isfinite(record.loss)) return false;
      record.accuracy += measures[1].item<double>() * share;
      return true;
    };
    std::vector<double> shares;
    for (std::size_t b = first; b < last; ++b) {
      const ExampleBatch batch = set.pick(epoch[b]);
      const double share = static_cast<double>(batch.rows.size()) / rows;
      const Tensor logits = this->logits(batch);
      const Tensor tokens = batch.tokens.to(logits.device());
      Tensor loss = options.loss ? options.loss(logits, batch) : cross_entropy(logits, tokens).mean();
      if (options.task_weight > 0) loss = loss + options.task_weight * task_loss(*trainer.model_->model(), batch);
      const Tensor correct = all_correct(logits.detach(), tokens).to(torch::kFloat64).mean();
      measured.push_back(torch::stack({loss.detach().to(torch::kFloat64).reshape({}), correct}));
      shares.push_back(share);
      if (loss.device().is_cpu() && !noted(measured.back(), share)) return false;
      (loss * share).backward();
    }
    if (measured[0].device().is_cpu()) return true;
    const Tensor read = torch::stack(measured).to(torch::kCPU);
    for (std::size_t b = 0; b < shares.size(); ++b) {
      if (!noted(read[static_cast<std::int64_t>(b)], shares[b])) return false;
    }
    return true;
  }

  // Whether the loss of a batch is still a number after the latest step; asked before anything is kept of it.
  bool still_finite(const std::vector<std::size_t>& rows) {
    const torch::NoGradGuard no_grad;
    const auto before = random();
    const ExampleBatch batch = set.pick(rows);
    const Tensor logits = this->logits(batch);
    const Tensor loss =
        options.loss ? options.loss(logits, batch) : cross_entropy(logits, batch.tokens.to(logits.device())).mean();
    set_random(before);
    return std::isfinite(loss.item<double>());
  }

  double temperature_at(std::int64_t step) const {
    const auto [from, to] = *options.temperature;
    return from + (to - from) * static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, steps - 1));
  }

  // Returns false when training is to end.
  bool end_epoch(std::int64_t epoch) {
    if (validation.size() == 0) return true;
    const Metrics metrics = trainer.measure(validation, false);
    now.report.epochs.push_back({epoch, metrics});
    if (options.patience == 0) return true;
    if (now.best.empty() || metrics.loss < now.best_loss) {
      now.best = numbered(parameters);
      now.best_loss = metrics.loss;
      now.best_step = now.next_step - 1;
      now.epochs_without = 0;
      return true;
    }
    if (++now.epochs_without < options.patience) return true;
    now.report.stopped_early = true;
    return false;
  }

  TrainReport run() {
    const models::TrustedBatches checked;  // by `fit`
    NamedTensors good = numbered(parameters);
    std::int64_t good_step = now.next_step - 1;
    // A training that had run out of patience goes no further.
    now.report.stopped_early = options.patience > 0 && now.epochs_without >= options.patience;
    bool going = !now.report.stopped_early;
    const auto diverged = [&](std::int64_t step, std::int64_t epoch) {
      put_back(parameters, good);
      return DivergedError(
          "the loss is not a number at step " + std::to_string(step) + " (epoch " + std::to_string(epoch) +
              "); the parameters are put back to those " +
              (good_step < 0 ? std::string("of the start") : "before step " + std::to_string(good_step)) +
              "; a lower learning_rate or clip may help",
          good_step > 0);
    };
    while (going && now.next_step < steps) {
      const std::int64_t epoch = now.next_step / steps_per_epoch;
      const auto order = set.batches(options.batch_size, options.seed + static_cast<std::uint64_t>(epoch));
      for (std::int64_t in_epoch = now.next_step % steps_per_epoch; going && in_epoch < steps_per_epoch; ++in_epoch) {
        StepRecord record;
        record.step = now.next_step;
        record.epoch = epoch;
        record.learning_rate =
            options.learning_rate * schedule_factor(options.schedule, record.step, steps, options.warm_up);
        if (options.temperature) {
          record.temperature = temperature_at(record.step);
          trainer.model_->set_temperature(record.temperature);
        }
        set_learning_rate(*optimizer, record.learning_rate);
        const auto first = static_cast<std::size_t>(in_epoch * options.accumulation);
        if (!accumulate(order, first, record)) throw diverged(record.step, epoch);
        keep(good, parameters);
        good_step = record.step;
        if (options.clip > 0) clip_gradients(parameters, options.clip);
        optimizer->step();
        ++now.next_step;
        now.report.steps.push_back(record);
        const bool epoch_ends = in_epoch + 1 == steps_per_epoch,
                   due = options.checkpoint_every > 0 && now.next_step % options.checkpoint_every == 0;
        if ((epoch_ends || due) && !still_finite(order[first])) throw diverged(now.next_step, epoch);
        if (epoch_ends) going = end_epoch(epoch);
        if (options.progress && !options.progress({now.report.steps.back(), steps})) {
          now.report.cancelled = true;
          going = false;
        }
        if (!going || epoch_ends || due) write();
      }
    }
    if (options.patience > 0 && !now.best.empty() && !now.report.cancelled) {
      put_back(parameters, now.best);
      if (options.temperature) trainer.model_->set_temperature(temperature_at(now.best_step));
    }
    return now.report;
  }

  Trainer& trainer;
  const TrainOptions& options;
  const ExampleSet set;
  const ExampleSet validation;
  std::vector<Tensor> parameters;
  std::vector<Tensor> constants;  // such as the base that a rotation starts from, which may have been drawn
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  std::unique_ptr<FrozenValues> frozen;
  std::int64_t steps_per_epoch = 0, steps = 0;
  std::string identity;
  std::filesystem::path folder;
  std::unique_ptr<io::FolderLock> lock;  // of the folder
  Checkpoint now;
};

Trainer::Trainer(IntervenableModel model, TrainOptions options)
    : model_(std::move(model)), options_(std::move(options)) {
  check_values(options_);
}
Trainer::~Trainer() = default;

void Trainer::check(const std::vector<Example>& examples) const {
  check_labels(examples, *model_->model());
  if (examples.empty()) return;
  const auto fits = [&](const std::vector<std::size_t>& rows) { (void)model_->compile(join(examples, rows).request); };
  for (const auto& shape : batches(examples, static_cast<std::int64_t>(examples.size()), std::nullopt)) {
    try {
      fits(shape);
    } catch (const Error&) {
      for (const std::size_t row : shape) {
        try {
          fits({row});
        } catch (const Error& error) {
          throw PlanError(name_of(examples[row], row) + ": " + error.what());
        }
      }
      throw;
    }
  }
}

TrainReport Trainer::fit(const std::vector<Example>& examples, const std::vector<Example>& validation) {
  check(examples);
  check(validation);
  return Run(*this, examples, validation).run();
}

Tensor Trainer::logits(const ExampleBatch& batch) {
  const bool staged = dynamic_cast<models::StagedModel*>(model_->model().get()) != nullptr;
  if (!staged)
    return at_columns(needed(model_->forward(batch.request).intervened.logits, *model_->model()), batch.positions);
  RunOptions options;
  options.logit_positions = batch.positions;
  const Tensor logits = needed(
      vene::run(model_->compile(ExampleSet::for_compiling(batch)), batch.request.base, batch.request.sources, options)
          .intervened.logits,
      *model_->model());
  return logits.dim() == 2 ? logits.unsqueeze(1) : logits;
}

Metrics Trainer::evaluate(const std::vector<Example>& examples, bool kl) {
  check_labels(examples, *model_->model());
  return measure(ExampleSet(examples), kl);
}

Metrics Trainer::measure(const ExampleSet& set, bool kl) {
  const torch::NoGradGuard no_grad;
  // Of each batch loss, accuracy, difference and divergence; read at the end, so that a device is waited for once.
  std::vector<Tensor> measured;
  std::vector<double> weights;
  for (const auto& some : set.batches(options_.batch_size, std::nullopt)) {
    const ExampleBatch batch = set.pick(some);
    const Tensor logits = this->logits(batch);
    const Tensor tokens = batch.tokens.to(logits.device());
    const Tensor none = torch::full({}, std::nan(""), logits.options().dtype(torch::kFloat64));
    auto mean = [](const Tensor& values) { return values.to(torch::kFloat64).mean(); };
    const Tensor loss = options_.loss ? options_.loss(logits, batch).to(logits.device(), torch::kFloat64).reshape({})
                                      : mean(cross_entropy(logits, tokens));
    const Tensor difference =
        batch.rivals.defined() ? mean(logit_difference(logits, tokens, batch.rivals.to(logits.device()))) : none;
    const Tensor divergence =
        kl ? mean(kl_divergence(at_columns(model_->model()->forward(batch.request.base).logits, batch.positions),
                                logits))
           : none;
    measured.push_back(torch::stack({loss, mean(all_correct(logits, tokens)), difference, divergence}));
    weights.push_back(static_cast<double>(some.size()));
  }
  const Tensor all = torch::stack(measured).to(torch::kCPU);
  const auto values = all.accessor<double, 2>();
  double rows = 0, loss = 0, accuracy = 0, difference = 0, divergence = 0;
  for (std::size_t b = 0; b < weights.size(); ++b) {
    const auto of_batch = values[static_cast<std::int64_t>(b)];
    rows += weights[b];
    loss += weights[b] * of_batch[0];
    accuracy += weights[b] * of_batch[1];
    difference += weights[b] * of_batch[2];
    divergence += weights[b] * of_batch[3];
  }
  return {loss / rows, accuracy / rows, difference / rows, kl ? divergence / rows : std::nan("")};
}

}  // namespace vene::train
