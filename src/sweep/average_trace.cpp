// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/average_trace.h"

#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "src/base/at_place.h"
#include "src/base/json_reader.h"
#include "src/sweep/bootstrap.h"
#include "src/sweep/trace_parts.h"
#include "vene/base/error.h"
#include "vene/base/version.h"
#include "vene/io/files.h"

namespace vene {
namespace {

using torch::Tensor;

TracePrompt read_prompt(const std::string& line) {
  const detail::Json json = detail::read_json<ConfigError>(line, "");
  detail::JsonReader reader = detail::JsonReader::root(json, "the line");
  reader.expect_object("{\"prompt\": \"...\", \"subject\": \"...\"}");
  reader.refuse_others({"prompt", "subject", "target", "occurrence"});
  TracePrompt prompt{reader.at("prompt").some_text(), reader.at("subject").some_text(), {}, {}, {}};
  if (const auto target = reader.find("target")) prompt.target = target->some_text();
  if (const auto occurrence = reader.find("occurrence")) prompt.occurrence = occurrence->integer();
  return prompt;
}

// The tokens of each class: [first, end).
std::vector<std::pair<std::int64_t, std::int64_t>> class_spans(const CausalTrace& trace) {
  const auto all = static_cast<std::int64_t>(trace.tokens.size());
  const std::int64_t begin = trace.subject_positions.front(), end = trace.subject_positions.back() + 1;
  return {{begin, begin + 1},
          {begin + 1, std::max(begin + 1, end - 1)},
          {end - 1, end},
          {end, std::min(end + 1, all)},
          {end + 1, std::max(end + 1, all - 1)},
          {all - 1, all}};
}

// [layers, classes] of one stream of one prompt; NaN where it lacks the class.
Tensor by_class(const CausalTrace& trace, const Tensor& probability) {
  std::vector<Tensor> columns;
  for (const auto& [begin, end] : class_spans(trace)) {
    columns.push_back(begin < end ? probability.slice(1, begin, end).mean(1)
                                  : torch::full({probability.size(0)}, NAN, torch::kFloat64));
  }
  return torch::stack(columns, 1);
}

// The mean over the prompts that have a value.
Tensor mean_of_prompts(const Tensor& values) {
  return values.nanmean(torch::IntArrayRef({0}));
}

CausalTraceOptions options_of(const TracePrompt& prompt, const AverageTraceOptions& options) {
  CausalTraceOptions own = options.trace;
  own.subject = prompt.subject;
  own.target = prompt.target;
  own.occurrence = prompt.occurrence;
  return own;
}

}  // namespace

const std::vector<std::string>& trace_classes() {
  static const std::vector<std::string> kClasses{"first subject token", "middle subject tokens",
                                                 "last subject token",  "first subsequent token",
                                                 "further tokens",      "last token"};
  return kClasses;
}

std::vector<TracePrompt> load_trace_prompts(const std::string& path) {
  std::vector<TracePrompt> prompts;
  std::istringstream lines(io::read_file(path));
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = path + " line " + std::to_string(number);
    prompts.push_back(detail::at_place(where, [&] { return read_prompt(line); }));
    prompts.back().where = where;
  }
  if (prompts.empty()) throw ConfigError(path + ": expected one prompt a line, got none");
  return prompts;
}

AverageTrace average_trace(const models::LanguageModel& model, const std::vector<TracePrompt>& prompts,
                           const AverageTraceOptions& options) {
  if (prompts.empty()) throw ConfigError("prompts: expected at least one");
  if (options.bootstrap < 1)
    throw ConfigError("bootstrap: expected at least 1, got " + std::to_string(options.bootstrap));
  const auto at_prompt = [&](std::size_t i, auto&& work) {
    return detail::at_place(prompts[i].where.empty() ? "prompts[" + std::to_string(i) + "]" : prompts[i].where, work);
  };
  for (std::size_t i = 0; i < prompts.size(); ++i)
    at_prompt(i, [&] { detail::check_causal_trace(model, prompts[i].prompt, options_of(prompts[i], options)); });
  AverageTrace average;
  average.bootstrap = options.bootstrap;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto goes_on = [&](std::size_t, std::size_t) {
      return !options.progress || options.progress(i, prompts.size());
    };
    CausalTraceOptions own = options_of(prompts[i], options);
    own.progress = goes_on;
    average.prompts.push_back(at_prompt(i, [&] { return causal_trace(model, prompts[i].prompt, own); }));
    average.clean += average.prompts.back().clean / static_cast<double>(prompts.size());
    average.corrupted += average.prompts.back().corrupted / static_cast<double>(prompts.size());
    if (options.progress && !options.progress(i + 1, prompts.size()))
      throw PlanError("tracing was cancelled after " + std::to_string(i + 1) + " of " + std::to_string(prompts.size()) +
                      " prompts");
  }
  const auto count = static_cast<std::int64_t>(prompts.size());
  const Tensor draws = detail::bootstrap_draws(options.bootstrap, count, options.trace.seed);
  for (std::size_t s = 0; s < average.prompts[0].streams.size(); ++s) {
    const CausalTrace::Stream& first = average.prompts[0].streams[s];
    std::vector<Tensor> probabilities, effects;  // [layers, classes] a prompt
    for (const CausalTrace& trace : average.prompts) {
      probabilities.push_back(by_class(trace, trace.streams[s].probability));
      effects.push_back(probabilities.back() - trace.corrupted);
    }
    const Tensor effect = torch::stack(effects);
    std::vector<Tensor> means;
    for (std::int64_t draw = 0; draw < options.bootstrap; ++draw)
      means.push_back(mean_of_prompts(effect.index_select(0, draws[draw])));
    const Tensor drawn = torch::stack(means);  // [draws, layers, classes]
    average.streams.push_back({first.component, first.window, mean_of_prompts(torch::stack(probabilities)),
                               mean_of_prompts(effect), drawn.nanquantile(0.025, 0), drawn.nanquantile(0.975, 0)});
    if (s > 0) continue;
    const Tensor there = effect.select(1, 0).isnan().logical_not().sum(0);
    for (std::int64_t c = 0; c < there.size(0); ++c) average.counts.push_back(there[c].item<std::int64_t>());
  }
  return average;
}

std::string average_trace_csv(const AverageTrace& trace) {
  std::ostringstream csv;
  csv << "stream,layer,position,prompts,probability,effect,low,high\n" << std::setprecision(9);
  for (const AverageTrace::Stream& stream : trace.streams) {
    for (std::int64_t layer = 0; layer < stream.effect.size(0); ++layer) {
      for (std::size_t c = 0; c < trace_classes().size(); ++c) {
        csv << stream.component << ',' << layer << ',' << trace_classes()[c] << ',' << trace.counts[c];
        for (const Tensor& values : {stream.probability, stream.effect, stream.low, stream.high}) {
          csv << ',';
          const double value = values[layer][static_cast<std::int64_t>(c)].item<double>();
          if (!std::isnan(value)) csv << value;
        }
        csv << '\n';
      }
    }
  }
  return csv.str();
}

std::string average_trace_json(const AverageTrace& trace) {
  nlohmann::ordered_json json;
  json["vene_version"] = build_info().version;
  if (!trace.model.empty()) json["model"] = trace.model;
  json["bootstrap"] = trace.bootstrap;
  json["clean"] = trace.clean;
  json["corrupted"] = trace.corrupted;
  json["positions"] = trace_classes();
  json["counts"] = trace.counts;
  const auto table = [](const Tensor& values) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (std::int64_t layer = 0; layer < values.size(0); ++layer) {
      rows.push_back(nlohmann::ordered_json::array());
      for (std::int64_t c = 0; c < values.size(1); ++c) {
        const double value = values[layer][c].item<double>();
        rows.back().push_back(std::isnan(value) ? nlohmann::ordered_json() : nlohmann::ordered_json(value));
      }
    }
    return rows;
  };
  for (const AverageTrace::Stream& stream : trace.streams) {
    json["streams"].push_back({{"component", stream.component},
                               {"window", stream.window},
                               {"probability", table(stream.probability)},
                               {"effect", table(stream.effect)},
                               {"low", table(stream.low)},
                               {"high", table(stream.high)}});
  }
  for (const CausalTrace& one : trace.prompts) json["prompts"].push_back(detail::trace_object(one));
  return detail::written_json(json) + "\n";
}

}  // namespace vene
