// SPDX-License-Identifier: Apache-2.0
#include "vene/train/locate.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <set>

#include "src/train/locate_cells.h"
#include "src/train/locate_options.h"
#include "src/train/probe.h"
#include "src/train/side_by_side.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

using detail::CellTrainer;
using detail::LocateValues;
using detail::NamedRows;
using torch::Tensor;

constexpr std::int64_t kMemory = std::int64_t{1} << 30;  // bytes that a step's activations may take

void check(const LocateOptions& options) {
  visit(options, detail::CheckOptions([](const detail::OptionText& option, double came) {
          throw ConfigError("locate: " + std::string(option.name) + " is " + std::to_string(came) + ", expected " +
                            option.range.expected(came));
        }));
}

void check_site(const Site& site, const LocateOptions& options) {
  const std::string head = options.head ? std::to_string(*options.head) : "";
  if (site.packed_heads && site.axes == std::vector<Axis>{Axis::kBatch, Axis::kPos, Axis::kHead, Axis::kFeature}) {
    if (head.empty())
      throw PlanError("locate: " + options.component + " has " + std::to_string(site.heads) +
                      " heads; say which one (head), or name the component that has them side by side");
    if (*options.head < 0 || *options.head >= site.heads)
      throw PlanError("locate: there is no head " + head + "; heads are 0 to " + std::to_string(site.heads - 1));
    return;
  }
  if (site.axes != std::vector<Axis>{Axis::kBatch, Axis::kPos, Axis::kFeature})
    throw PlanError("locate: " + options.component + " is not a value [batch, pos, feature] of the model");
  if (!head.empty())
    throw PlanError("locate: head " + head + " is asked for, and " + options.component + " is not cut into heads");
}

// The layers asked for; the one of a module path, -1 for a component outside the layers.
std::vector<std::int64_t> layers_of(const models::Model& model, const LocateOptions& options) {
  const std::int64_t count = model.layer_count();
  const Site& site = model.sites().find(options.component, 0);
  check_site(site, options);
  if (site.layer < 0 || site.component != options.component) {
    if (!options.layers.empty())
      throw PlanError("locate: " + options.component + " is one place, so layers cannot be chosen");
    return {site.layer};
  }
  std::vector<std::int64_t> layers;
  for (std::int64_t layer = 0; layer < count; ++layer) layers.push_back(layer);
  if (options.layers.empty()) return layers;
  std::set<std::int64_t> seen;
  for (const std::int64_t layer : options.layers) {
    if (layer < 0 || layer >= count)
      throw PlanError("locate: there is no layer " + std::to_string(layer) + "; layers are 0 to " +
                      std::to_string(count - 1));
    if (!seen.insert(layer).second) throw PlanError("locate: layer " + std::to_string(layer) + " is given twice");
  }
  return {seen.begin(), seen.end()};
}

// The grid columns to train and to probe.
std::vector<std::int64_t> columns_of(const NamedRows& rows, const LocateOptions& options) {
  std::vector<std::int64_t> columns;
  const auto count = static_cast<std::int64_t>(rows.tokens.size());
  for (std::int64_t column = 0; column < count; ++column) {
    if (options.columns.empty() ||
        std::find(options.columns.begin(), options.columns.end(), column) != options.columns.end())
      columns.push_back(column);
  }
  for (const std::int64_t column : options.columns) {
    if (column < 0 || column >= count)
      throw PlanError("locate: there is no column " + std::to_string(column) + "; the template has " +
                      std::to_string(count));
  }
  return columns;
}

// Small products gain nothing from a second thread, so the processors train different columns. A device takes one thing
// at a time.
std::size_t workers_for(torch::Device device, std::size_t columns) {
  return device.is_cpu() ? std::clamp<std::size_t>(columns, 1, static_cast<std::size_t>(torch::get_num_threads())) : 1;
}

// How many layers go into one batch: a block keeps about twenty times its input for the backward pass.
std::size_t layers_at_once(const models::Model& model, const NamedRows& rows, std::int64_t batch, std::size_t workers) {
  const std::int64_t layer = batch * rows.batch.positions() * model.hidden_size() * 20 * (model.layer_count() + 1) *
                             static_cast<std::int64_t>(torch::elementSize(model.dtype()));
  return static_cast<std::size_t>(
      std::max<std::int64_t>(1, kMemory / static_cast<std::int64_t>(workers) / std::max<std::int64_t>(layer, 1)));
}

// Columns before the name: no name has been read there, so that base and source are the same and an exchange does
// nothing, and a probe can only name the class that most names are of.
struct BeforeName {
  double iia, probe;
};

BeforeName before_name(models::Model& model, const NamedRows& rows, const CellTrainer::Pairs& tests) {
  const torch::NoGradGuard no_grad;
  models::ForwardOptions last;
  last.last_logits = 1;
  const Tensor answers = torch::tensor(rows.answers, torch::kInt64).to(model.device());
  const Tensor best =
      model.forward(rows.batch, last).logits.select(1, -1).index_select(1, answers).argmax(1).to(torch::kCPU);
  double right = 0;
  for (const auto& [base, source] : tests)
    right += best[base].item<std::int64_t>() == rows.classes[static_cast<std::size_t>(source)] ? 1 : 0;
  std::vector<std::int64_t> seen(rows.answers.size(), 0);
  for (const std::int64_t row : rows.train)
    ++seen[static_cast<std::size_t>(rows.classes[static_cast<std::size_t>(row)])];
  const auto most = std::max_element(seen.begin(), seen.end()) - seen.begin();
  const auto named = std::count_if(rows.test.begin(), rows.test.end(), [&](std::int64_t row) {
    return rows.classes[static_cast<std::size_t>(row)] == most;
  });
  return {right / static_cast<double>(tests.size()),
          static_cast<double>(named) / static_cast<double>(rows.test.size())};
}

}  // namespace

LocateResult locate(const models::LanguageModel& lm, const LocateTask& task, const LocateOptions& options) {
  check(options);
  auto* staged = dynamic_cast<models::StagedModel*>(lm.model.get());
  if (staged == nullptr)
    throw ModelError("locate needs a model that can be cut into stages, and " + lm.model->architecture() + " cannot");
  if (lm.model->reads_ahead())
    throw ModelError("locate asks for the token after a text, and this model (" + lm.model->architecture() +
                     ") reads its whole text at once");
  LocateResult result;
  result.task = task;
  result.options = options;
  result.dtype = c10::getDtypeNames(lm.model->dtype()).first;
  result.layers = layers_of(*lm.model, options);
  const NamedRows rows = detail::named_rows(lm, result);
  const std::vector<std::int64_t> columns = columns_of(rows, options);
  std::vector<std::int64_t> trained;
  std::copy_if(columns.begin(), columns.end(), std::back_inserter(trained),
               [&](std::int64_t column) { return column >= rows.before; });
  const CellTrainer::Pairs train = detail::pairs_of(rows.train, rows.classes, options.pairs, options.seed),
                           test = detail::pairs_of(rows.test, rows.classes, options.pairs, options.seed + 1);
  result.train_pairs = static_cast<std::int64_t>(train.size());
  result.test_pairs = static_cast<std::int64_t>(test.size());

  const auto layers = static_cast<std::int64_t>(result.layers.size()),
             width = static_cast<std::int64_t>(rows.tokens.size());
  result.iia = torch::full({layers, width}, std::numeric_limits<double>::quiet_NaN(), torch::kFloat64);
  result.probe = result.iia.clone();
  if (rows.before > 0) {
    const BeforeName before = before_name(*lm.model, rows, test);
    for (const std::int64_t column : columns) {
      if (column >= rows.before) break;
      result.iia.select(1, column).fill_(before.iia);
      result.probe.select(1, column).fill_(before.probe);
    }
  }
  const LocateValues values = detail::read_values(*staged, rows, options, result.layers);
  for (const detail::LocateRow& row : values.rows)
    result.directions.push_back(torch::zeros({width, row.values.size(2)}));
  // A batch is some layers of one column. Batches do not touch each other's cells, so that they can be trained side by
  // side.
  struct CellBatch {
    std::int64_t column;
    std::vector<std::size_t> rows;
  };
  const std::size_t workers = workers_for(lm.model->device(), trained.size()),
                    at_once = layers_at_once(*lm.model, rows, options.batch, workers);
  std::vector<CellBatch> batches;
  for (const std::int64_t column : trained) {
    for (std::size_t row = 0; row < values.rows.size(); ++row) {
      if (row % at_once == 0) batches.push_back({column, {}});
      batches.back().rows.push_back(row);
    }
  }
  const std::size_t all = static_cast<std::size_t>(options.steps * layers) * trained.size();
  std::size_t done = 0;
  std::mutex told;
  detail::side_by_side(workers, batches.size(), [&](std::size_t number) {
    const auto& [column, some] = batches[number];
    CellTrainer trainer(*staged, rows, values, some, column, options);
    trainer.fit(train, [&, count = some.size()] {
      const std::lock_guard lock(told);
      done += count;
      return !options.progress || options.progress(done, all);
    });
    const Tensor accuracy = trainer.evaluate(test), directions = trainer.directions().to(torch::kCPU, torch::kFloat32);
    for (std::size_t i = 0; i < some.size(); ++i) {
      result.iia[static_cast<std::int64_t>(some[i])][column] = accuracy[static_cast<std::int64_t>(i)];
      result.directions[some[i]][column] = directions[static_cast<std::int64_t>(i)];
    }
  });
  std::vector<Tensor> probed;  // the values of every trained cell
  for (const std::int64_t column : trained) {
    for (const detail::LocateRow& row : values.rows) probed.push_back(row.values.select(1, rows.batch_column(column)));
  }
  if (!trained.empty()) {
    const auto classes = static_cast<std::int64_t>(rows.answers.size());
    const Tensor probes = detail::probe_accuracy(torch::stack(probed), rows.classes, classes, rows.train, rows.test)
                              .view({-1, layers})
                              .t();
    result.probe.index_copy_(1, torch::tensor(trained, torch::kInt64), probes);
  }
  return result;
}

}  // namespace vene
