// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/sweep_spec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <limits>
#include <memory>
#include <sstream>

#include "src/base/at_place.h"
#include "src/base/csv.h"
#include "src/base/readable.h"
#include "src/core/experiment_json.h"
#include "src/core/parse_experiment.h"
#include "src/locations/parse.h"
#include "src/sweep/axes.h"
#include "src/sweep/joined_cells.h"
#include "src/sweep/pair_json.h"
#include "src/sweep/pair_runs.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/base/version.h"

namespace vene {
namespace {

using detail::Json;
using detail::JsonReader;
using torch::Tensor;

// So many cells are read before they run.
constexpr std::size_t kTogether = 4096;
// What may differ between experiments that run as rows of one batch.
constexpr std::array<const char*, 2> kOwnOfACell{"config", "unit_locations"};

// Each row's tokens without padding.
std::vector<std::vector<std::int64_t>> tokens_of(const models::Batch& batch, const char* what) {
  if (!batch.input_ids.defined())
    throw ConfigError(std::string(what) + ": a sweep measures what follows texts; give \"text\" or \"input_ids\"");
  const Tensor ids = batch.input_ids.to(torch::kCPU).contiguous();
  const Tensor mask = batch.attention_mask.defined() ? batch.attention_mask.to(torch::kCPU).ne(0) : Tensor();
  std::vector<std::vector<std::int64_t>> rows;
  for (std::int64_t row = 0; row < ids.size(0); ++row) {
    const Tensor own = mask.defined() ? ids[row].masked_select(mask[row]) : ids[row];
    rows.emplace_back(own.data_ptr<std::int64_t>(), own.data_ptr<std::int64_t>() + own.numel());
  }
  return rows;
}

struct MetricChoice {
  AnswerMetric metric = AnswerMetric::kLogitDifference;
  Json answers;  // none, one list for all rows, or one a row
  std::int64_t position = -1;
};

MetricChoice read_metric(JsonReader json) {
  MetricChoice choice;
  if (json.json().is_string()) {
    choice.metric = detail::at_place(json.path(), [&] { return parse_answer_metric(json.text()); });
    return choice;
  }
  json.expect_object("{\"name\": \"logit_diff\", \"answers\": [RIGHT, WRONG]}");
  json.refuse_others({"name", "answers", "position"});
  const JsonReader name = json.at("name");
  choice.metric = detail::at_place(name.path(), [&] { return parse_answer_metric(name.text()); });
  if (const auto answers = json.find("answers")) choice.answers = answers->json();
  json.read("position", choice.position);
  return choice;
}

// Cells with the same inputs and the same metric.
class Inputs {
 public:
  Inputs(const Json& json, const MetricChoice& metric, const models::LanguageModel& model, const std::string& folder)
      : shell_(parse(json, model, folder)), runs_(pairs(metric, model), metric.metric, *model.model) {
    models::ForwardOptions last;
    const models::Batch base = runs_.clean();
    last.last_logits = base.positions() - runs_.logit_columns().front();
    const models::Output output = model.model->forward(base, last);
    if (output.logits.dim() != 3)
      throw ModelError("a sweep measures the next token, and this model (" + model.model->architecture() +
                       ") has no head for it");
    base_ = measured(output.logits);
  }

  const Experiment& shell() const { return shell_; }
  const detail::PairRuns& runs() const { return runs_; }
  /// Of the base without interventions: [rows].
  const Tensor& base() const { return base_; }
  /// The metric of all rows, from logits [rows, position, vocabulary] of the last positions.
  Tensor measured(const Tensor& logits) const {
    SweepRows rows;
    rows.rows.resize(static_cast<std::size_t>(logits.size(0)));
    for (std::size_t i = 0; i < rows.rows.size(); ++i) rows.rows[i] = static_cast<std::int64_t>(i);
    std::vector<std::int64_t> columns;
    for (const std::int64_t column : runs_.logit_columns())
      columns.push_back(column - (runs_.clean().positions() - logits.size(1)));
    const Tensor at = torch::tensor(columns, torch::kInt64).to(logits.device());
    return runs_.metric(/*base_is_clean=*/true)(logits.index_select(1, at), rows).to(torch::kCPU, torch::kFloat64);
  }

 private:
  static Experiment parse(Json json, const models::LanguageModel& model, const std::string& folder) {
    json.erase("metric");
    Experiment shell = detail::parse_experiment(json, model, folder);
    if (shell.generate) throw ConfigError("generate: a sweep measures single runs, and this experiment generates");
    return shell;
  }

  std::vector<PromptPair> pairs(const MetricChoice& choice, const models::LanguageModel& model) const {
    const auto base = tokens_of(shell_.request.base, "base");
    std::vector<std::vector<std::int64_t>> source;
    // Sources of other shapes are for experiments that run alone.
    if (shell_.request.sources.size() == 1 && shell_.request.sources[0] &&
        shell_.request.sources[0]->input_ids.defined())
      source = tokens_of(*shell_.request.sources[0], "sources");
    if (source.size() != 1 && source.size() != base.size()) source.clear();
    const bool each = choice.answers.is_array() && !choice.answers.empty() && choice.answers[0].is_array();
    if (each && choice.answers.size() != base.size())
      throw ConfigError("metric.answers: " + std::to_string(choice.answers.size()) + " lists for " +
                        std::to_string(base.size()) + " rows of the base; give one list, or one a row");
    std::string lines;
    for (std::size_t row = 0; row < base.size(); ++row) {
      Json line{{"clean", base[row]}, {"answer_position", choice.position}};
      if (!choice.answers.is_null()) line["answers"] = each ? choice.answers[row] : choice.answers;
      if (!source.empty()) line["corrupt"] = source[source.size() == 1 ? 0 : row];
      lines += line.dump() + "\n";
    }
    std::vector<PromptPair> pairs = parse_pairs(lines, model, "rows of the base");
    detail::check_metric(pairs, choice.metric);
    return pairs;
  }

  Experiment shell_;
  detail::PairRuns runs_;
  Tensor base_;
};

class Grid {
 public:
  Grid(std::string_view text, const models::LanguageModel& model, const std::string& folder,
       const SweepSpecOptions& options)
      : model_(model), folder_(folder), options_(options), json_(detail::read_json<ConfigError>(text, "spec")) {
    JsonReader root = JsonReader::root(json_, "spec");
    root.expect_object("");
    root.at("base");
    root.at("metric");
    const JsonReader axes = root.at("axes");
    detail::AxisSizes sizes{model.model->layer_count(), 0};
    if (!detail::has_names(json_["base"])) {
      const auto rows = tokens_of(detail::read_batch(JsonReader(json_["base"], "base"), model), "base");
      const bool even =
          std::all_of(rows.begin(), rows.end(), [&](const auto& r) { return r.size() == rows[0].size(); });
      if (even) sizes.positions = static_cast<std::int64_t>(rows[0].size());
    }
    axes_ = detail::read_axes(axes, text, sizes);
    json_.erase("axes");
    detail::check_names(json_, axes_);
    table_.spec = std::string(text);
    table_.dtype = c10::getDtypeNames(model.model->dtype()).first;
    for (const detail::Axis& axis : axes_) {
      SweepAxis& named = table_.axes.emplace_back(SweepAxis{axis.name, {}});
      for (const Json& value : axis.values)
        named.values.push_back(value.is_string() ? value.get<std::string>() : detail::written_json(value, -1));
    }
  }

  SweepTable run() {
    const torch::NoGradGuard no_grad;
    const std::size_t cells = detail::count_cells(axes_);
    for (std::size_t begin = 0; begin < cells; begin += kTogether) {
      values_.clear();
      run_some(begin, std::min(cells, begin + kTogether), cells);
      for (std::size_t cell = begin; cell < std::min(cells, begin + kTogether); ++cell) keep(cell, cells);
    }
    std::sort(table_.failures.begin(), table_.failures.end(),
              [](const auto& a, const auto& b) { return a.cell < b.cell; });
    if (table_.failures.size() == cells)
      throw ConfigError(table_.label(0) + ": " + table_.failures[0].message +
                        (cells == 1 ? "" : " (and no other cell can be run)"));
    return std::move(table_);
  }

 private:
  struct Cell {
    std::size_t number;
    Json json;
  };

  void run_some(std::size_t begin, std::size_t end, std::size_t all) {
    std::map<std::string, std::vector<Cell>> by_inputs;
    for (std::size_t cell = begin; cell < end; ++cell) {
      Json json = detail::with_values(json_, axes_, table_.place(cell));
      Json inputs = json;
      for (const char* own : kOwnOfACell) inputs.erase(own);
      by_inputs[inputs.dump()].push_back({cell, std::move(json)});
    }
    for (auto& [text, cells] : by_inputs) run_together(cells, all);
  }

  // Cells of the same inputs.
  void run_together(const std::vector<Cell>& cells, std::size_t all) {
    std::unique_ptr<Inputs> inputs;
    std::size_t first = 0;
    // What is wrong may be in the config of one cell alone: the next one may have none of it.
    while (first < cells.size() && !attempt(cells[first].number, [&] {
             inputs = std::make_unique<Inputs>(cells[first].json, metric_of(cells[first].json), model_, folder_);
           })) {
      ++first;
      tell(1, all);
    }
    if (!inputs) return;
    detail::JoinedCells joined(inputs->shell(), inputs->runs(), model_);
    std::vector<const Cell*> alone;
    for (std::size_t i = first; i < cells.size(); ++i) {
      if (!take(joined, cells[i])) alone.push_back(&cells[i]);
      bases_[cells[i].number] = inputs->base();
    }
    run_joined(joined, cells, first, alone, all);
    for (const Cell* cell : alone) {
      attempt(cell->number, [&] { values_[cell->number] = run_alone(*cell, *inputs); });
      tell(1, all);
    }
  }

  void run_joined(const detail::JoinedCells& joined, const std::vector<Cell>& cells, std::size_t first,
                  std::vector<const Cell*>& alone, std::size_t all) {
    const std::size_t before = done_;
    SweepOptions options;
    options.rows_per_batch = options_.rows_per_batch;
    options.progress = [&](std::size_t done, std::size_t of) {
      done_ = before + joined.count() * done / of;
      return !options_.progress || (stopped_ = !options_.progress(done_, all), !stopped_);
    };
    try {
      for (auto& [cell, value] : joined.run(options)) values_[cell] = value.to(torch::kFloat64);
      table_.joined += joined.count();
      done_ = before + joined.count();
    } catch (const Error&) {
      if (stopped_) throw;
      // Something in one of them: each tells by itself.
      done_ = before;
      alone.clear();
      for (std::size_t i = first; i < cells.size(); ++i) alone.push_back(&cells[i]);
    }
  }

  MetricChoice metric_of(const Json& json) {
    MetricChoice choice = read_metric(JsonReader(json.at("metric"), "metric"));
    table_.metric = choice.metric;
    return choice;
  }

  // Whether the cell runs joined with others; what is wrong with it is told when it runs alone.
  bool take(detail::JoinedCells& joined, const Cell& cell) const {
    try {
      std::string saved;
      const Json& config = cell.json.at("config");
      const IntervenableConfig read =
          detail::read_config(JsonReader(config, "config"), model_, InterventionRegistry::standard(), folder_, saved);
      const auto locations = cell.json.find("unit_locations");
      const bool located = locations != cell.json.end() && !locations->is_null();
      return saved.empty() &&
             joined.take(cell.number, config.dump(), read, located ? detail::parse_locations(*locations) : Locations());
    } catch (const Error&) {
      return false;
    }
  }

  Tensor run_alone(const Cell& cell, const Inputs& inputs) const {
    Json json = cell.json;
    json.erase("metric");
    Experiment experiment = detail::parse_experiment(json, model_, folder_);
    // Locations count within each row's own text, on whichever side it is padded.
    experiment.request.base = inputs.runs().clean();
    experiment.request.original = false;
    const Result result = run_experiment(experiment, model_);
    if (!result.intervened.logits.defined()) throw PlanError("collect_only: there are no logits to be measured");
    return inputs.measured(result.intervened.logits);
  }

  // False, and a failure of the cell, where `fn` finds something wrong.
  template <class F>
  bool attempt(std::size_t cell, F&& fn) {
    try {
      fn();
      return true;
    } catch (const Error& error) {
      table_.failures.push_back({cell, error.what()});
      return false;
    }
  }

  void tell(std::size_t more, std::size_t all) {
    done_ += more;
    if (options_.progress && !options_.progress(done_, all))
      throw PlanError("the sweep was cancelled after " + std::to_string(done_) + " of " + std::to_string(all) +
                      " cells");
  }

  void keep(std::size_t cell, std::size_t cells) {
    const auto found = values_.find(cell);
    const auto base = bases_.find(cell);
    if (base != bases_.end() && !table_.values.defined()) {
      const std::vector<std::int64_t> sizes{static_cast<std::int64_t>(cells), base->second.size(0)};
      table_.values = torch::full(sizes, std::numeric_limits<double>::quiet_NaN(), torch::kFloat64);
      table_.base = table_.values.clone();
    }
    if (base != bases_.end()) {
      if (base->second.size(0) != table_.values.size(1))
        throw ConfigError(table_.label(cell) + ": base: has " + std::to_string(base->second.size(0)) +
                          " rows, and that of other cells " + std::to_string(table_.values.size(1)));
      table_.base[static_cast<std::int64_t>(cell)] = base->second;
      bases_.erase(base);
    }
    if (found != values_.end()) table_.values[static_cast<std::int64_t>(cell)] = found->second;
  }

  const models::LanguageModel& model_;
  std::string folder_;
  const SweepSpecOptions& options_;
  Json json_;  // without its axes
  std::vector<detail::Axis> axes_;
  SweepTable table_;
  std::map<std::size_t, Tensor> values_, bases_;  // by cell
  std::size_t done_ = 0;
  bool stopped_ = false;
};

std::string number(double value) {
  if (!std::isfinite(value)) return "";
  std::ostringstream text;
  text << std::setprecision(9) << value;
  return text.str();
}

void write_axes(std::ostringstream& csv, const SweepTable& table, std::size_t cell) {
  const std::vector<std::size_t> place = table.place(cell);
  for (std::size_t i = 0; i < place.size(); ++i) csv << csv_field(table.axes[i].values[place[i]]) << ',';
}

std::string header(const SweepTable& table) {
  std::string names;
  for (const SweepAxis& axis : table.axes) names += csv_field(axis.name) + ",";
  return names;
}

}  // namespace

std::vector<std::size_t> SweepTable::place(std::size_t cell) const {
  std::vector<std::size_t> place(axes.size());
  for (std::size_t i = axes.size(); i-- > 0; cell /= axes[i].values.size()) place[i] = cell % axes[i].values.size();
  return place;
}

std::string SweepTable::label(std::size_t cell) const {
  std::vector<std::string> parts;
  const std::vector<std::size_t> at = place(cell);
  for (std::size_t i = 0; i < axes.size(); ++i) parts.push_back(axes[i].name + "=" + shortened(axes[i].values[at[i]]));
  return join(parts);
}

SweepTable run_sweep_spec(std::string_view json, const models::LanguageModel& model, const std::string& folder,
                          const SweepSpecOptions& options) {
  return Grid(json, model, folder, options).run();
}

std::string sweep_csv(const SweepTable& table) {
  std::ostringstream csv;
  csv << header(table) << "value,base\n";
  const Tensor values = table.values.mean(1), base = table.base.mean(1);
  for (std::size_t cell = 0; cell < table.cells(); ++cell) {
    write_axes(csv, table, cell);
    const auto at = static_cast<std::int64_t>(cell);
    csv << number(values[at].item<double>()) << ',' << number(base[at].item<double>()) << '\n';
  }
  return csv.str();
}

std::string sweep_rows_csv(const SweepTable& table) {
  std::ostringstream csv;
  csv << header(table) << "row,value,base\n";
  const auto values = table.values.accessor<double, 2>(), base = table.base.accessor<double, 2>();
  for (std::size_t cell = 0; cell < table.cells(); ++cell) {
    for (std::int64_t row = 0; row < table.values.size(1); ++row) {
      write_axes(csv, table, cell);
      const auto at = static_cast<std::int64_t>(cell);
      csv << row << ',' << number(values[at][row]) << ',' << number(base[at][row]) << '\n';
    }
  }
  return csv.str();
}

std::string sweep_json(const SweepTable& table) {
  detail::OrderedJson json;
  json["vene_version"] = build_info().version;
  if (!table.model.empty()) json["model"] = table.model;
  json["dtype"] = table.dtype;
  std::string problem;
  json["spec"] = detail::read_ordered_json(table.spec, problem);
  json["metric"] = name_of(table.metric);
  for (const SweepAxis& axis : table.axes) json["axes"].push_back({{"name", axis.name}, {"values", axis.values}});
  json["joined"] = table.joined;
  json["values"] = detail::nested(table.values);
  json["base"] = detail::nested(table.base);
  json["failures"] = detail::OrderedJson::array();
  for (const SweepTable::Failure& failure : table.failures)
    json["failures"].push_back({{"cell", table.label(failure.cell)}, {"message", failure.message}});
  return detail::written_json(json) + "\n";
}

}  // namespace vene
