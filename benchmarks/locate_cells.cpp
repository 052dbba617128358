// SPDX-License-Identifier: Apache-2.0
// `locate` trains a direction for every layer and position, all positions of a layer in one batch. Beside it: the same
// cells one by one, each a low_rank_rotated_space of rank 1 under the Trainer, with and without its frozen values; the
// same names, pairs a step and steps. Prints seconds and the mean interchange accuracy on test names. Times are of
// training and evaluation; in locate's are its probes too.
#include <torch/types.h>
#include <torch/utils.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "vene/base/error.h"
#include "vene/models/load.h"
#include "vene/train/locate.h"
#include "vene/train/trainer.h"

namespace {

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string filled(const std::string& text, const std::string& name) {
  return std::string(text).replace(text.find("[name]"), 6, name);
}

// Pairs of names of different classes, each base with `most` sources.
std::vector<vene::train::Example> examples_of(const vene::models::LanguageModel& lm, const vene::LocateResult& found,
                                              bool test, std::int64_t from_end, std::size_t most) {
  std::vector<vene::train::Example> examples;
  const auto names = [&](const vene::LocateResult::Class& entry) -> const std::vector<std::string>& {
    return test ? entry.test : entry.train;
  };
  for (const auto& base_class : found.classes) {
    for (const auto& source_class : found.classes) {
      if (&base_class == &source_class) continue;
      for (std::size_t b = 0; b < names(base_class).size(); ++b) {
        for (std::size_t s = 0; s < std::min(most, names(source_class).size()); ++s) {
          vene::train::Example example;
          example.base = lm.encode(filled(found.task.text, names(base_class)[b]));
          example.sources = {
              lm.encode(filled(found.task.text, names(source_class)[(b + s) % names(source_class).size()]))};
          example.locations = vene::at(-from_end);
          example.labels = {{source_class.answer_id, -1}};
          example.rival = base_class.answer_id;
          examples.push_back(std::move(example));
        }
      }
    }
  }
  return examples;
}

struct OneByOne {
  double seconds = 0, accuracy = 0;
};

OneByOne one_by_one(const vene::models::LanguageModel& lm, const vene::LocateResult& found, std::int64_t cache) {
  OneByOne total;
  const auto columns = static_cast<std::int64_t>(found.tokens.size());
  for (const std::int64_t layer : found.layers) {
    for (std::int64_t column = 0; column < columns; ++column) {
      const auto train = examples_of(lm, found, false, columns - column, 9),
                 test = examples_of(lm, found, true, columns - column, 1000);
      vene::IntervenableConfig config;
      config.add_intervention({.layer = layer,
                               .low_rank_dimension = 1,
                               .intervention_type = "low_rank_rotated_space",
                               .options = {{"seed", std::int64_t{1}}}});
      vene::IntervenableModel model(config, lm.model);
      vene::train::TrainOptions options;
      options.learning_rate = found.options.rate;
      options.batch_size = found.options.batch;
      options.schedule = vene::train::Schedule::kLinear;
      options.cache = cache;
      options.epochs = 1000000;
      std::int64_t left = found.options.steps;
      options.progress = [&](const vene::train::Progress&) { return --left > 0; };
      vene::train::Trainer trainer(model, options);
      double right = 0;
      total.seconds += seconds([&] {
        trainer.fit(train);
        const torch::NoGradGuard no_grad;
        for (const auto& rows : vene::train::batches(test, 256, std::nullopt)) {
          const vene::train::ExampleBatch batch = vene::train::join(test, rows);
          right += (vene::train::logit_difference(trainer.logits(batch), batch.tokens, batch.rivals) > 0)
                       .sum()
                       .item<double>();
        }
      });
      total.accuracy += right / static_cast<double>(test.size()) / static_cast<double>(found.iia.numel());
    }
  }
  return total;
}

}  // namespace

int main(int count, char** arguments) try {
  if (count < 3) {
    std::fprintf(stderr, "usage: locate_cells MODEL_FOLDER TASK.json [steps] [threads]\n");
    return 2;
  }
  if (count > 4) torch::set_num_threads(std::atoi(arguments[4]));
  const auto lm = vene::models::load(arguments[1]);
  const auto task = vene::LocateTask::load(arguments[2]);
  vene::LocateOptions options;
  if (count > 3) options.steps = std::atoll(arguments[3]);
  vene::LocateResult found;
  const double joined = seconds([&] { found = vene::locate(lm, task, options); });
  std::printf("%lld cells, %lld steps of %lld pairs each\n", static_cast<long long>(found.iia.numel()),
              static_cast<long long>(options.steps), static_cast<long long>(options.batch));
  std::printf("together                      %8.2f s           accuracy %.3f\n", joined,
              found.iia.mean().item<double>());
  const OneByOne cached = one_by_one(lm, found, std::int64_t{1} << 30), plain = one_by_one(lm, found, 0);
  std::printf("one by one, frozen values kept %7.2f s  %5.1f x   accuracy %.3f\n", cached.seconds,
              cached.seconds / joined, cached.accuracy);
  std::printf("one by one                    %8.2f s  %5.1f x   accuracy %.3f\n", plain.seconds, plain.seconds / joined,
              plain.accuracy);
} catch (const vene::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
