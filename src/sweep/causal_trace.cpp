// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/causal_trace.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "src/base/csv.h"
#include "src/core/needed_logits.h"
#include "src/sweep/trace_options.h"
#include "src/sweep/trace_parts.h"
#include "src/text/unicode.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/base/version.h"
#include "vene/interventions/numpy_random.h"
#include "vene/sweep/sweep.h"

namespace vene {
namespace {

std::string quoted_tokens(const std::vector<std::string>& tokens) {
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    text += (i > 0 ? " " : "") + std::to_string(i) + ":'" + tokens[i] + "'";
  return text;
}

// Where the subject begins in the prompt: the one place, or the one that is asked for.
std::size_t subject_begin(const std::string& prompt, const std::string& subject,
                          const std::optional<std::int64_t>& occurrence, const std::vector<std::string>& shown) {
  if (subject.empty())
    throw ConfigError("subject: which words are noised must be said; the prompt's tokens are " + quoted_tokens(shown));
  std::vector<std::size_t> places;
  for (std::size_t at = prompt.find(subject); at != std::string::npos; at = prompt.find(subject, at + 1))
    places.push_back(at);
  const auto count = static_cast<std::int64_t>(places.size());
  if (count == 0)
    throw ConfigError("subject: '" + subject + "' is not in the prompt, whose tokens are " + quoted_tokens(shown));
  if (!occurrence && count > 1) {
    throw ConfigError("subject: '" + subject + "' occurs " + std::to_string(count) +
                      " times in the prompt; give the occurrence that is meant, 0 to " + std::to_string(count - 1) +
                      " (-1 is the last)");
  }
  const std::int64_t chosen = occurrence.value_or(0) + (occurrence.value_or(0) < 0 ? count : 0);
  if (chosen < 0 || chosen >= count) {
    throw ConfigError("occurrence: " + std::to_string(*occurrence) + " is out of range: '" + subject + "' occurs " +
                      std::to_string(count) + (count == 1 ? " time" : " times") + " in the prompt, counted from 0");
  }
  return places[static_cast<std::size_t>(chosen)];
}

// Positions of the tokens that overlap the subject, which begins at a byte of the prompt.
std::vector<std::int64_t> subject_positions(const std::vector<text::Token>& tokens, std::size_t begin,
                                            const std::string& subject, const std::vector<std::string>& shown) {
  std::vector<std::int64_t> positions;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool overlaps = tokens[i].begin < static_cast<std::int64_t>(begin + subject.size()) &&
                          tokens[i].end > static_cast<std::int64_t>(begin);
    if (overlaps) positions.push_back(static_cast<std::int64_t>(i));
  }
  if (static_cast<std::size_t>(positions.size()) == tokens.size()) {
    throw ConfigError("subject: it covers the whole prompt, so nothing is left to restore; the prompt's tokens are " +
                      quoted_tokens(shown));
  }
  return positions;
}

// The token that follows the prompt when the target does.
std::int64_t target_token(const text::Tokenizer& tokenizer, const std::string& prompt,
                          const std::vector<std::int64_t>& ids, const std::string& target) {
  const bool spaced = target.empty() || target.front() == ' ' || prompt.empty() || prompt.back() == ' ';
  const std::vector<std::int64_t> whole = tokenizer.encode(prompt + (spaced ? "" : " ") + target);
  if (whole.size() <= ids.size() || !std::equal(ids.begin(), ids.end(), whole.begin())) {
    throw ConfigError(
        "target: '" + target +
        "' does not continue the prompt token by token; give it as it follows the prompt, such as ' Seattle'");
  }
  return whole[ids.size()];
}

void check(const models::LanguageModel& lm, const CausalTraceOptions& options) {
  visit(options, detail::CheckOptions([](const detail::OptionText& option, double came) {
          std::ostringstream message;
          message << option.name << ": expected " << option.range.expected(came) << ", got " << came;
          throw ConfigError(message.str());
        }));
  if (options.streams.empty()) throw ConfigError("streams: expected at least one component name");
  const auto& sites = lm.model->sites().all();
  if (std::none_of(sites.begin(), sites.end(),
                   [](const Site& site) { return site.layer >= 0 && site.axes.size() == 3; })) {
    throw ModelError(
        "causal tracing restores values [batch, pos, feature] of layers, and " + lm.model->architecture() +
        " has steps in time instead; an experiment with locations of unit \"t\" (vene run) exchanges those");
  }
  for (const std::string& stream : options.streams) {
    if (std::count(options.streams.begin(), options.streams.end(), stream) > 1)
      throw ConfigError("streams: '" + stream + "' is given twice");
    for (std::int64_t layer = 0; layer < lm.model->layer_count(); ++layer) {
      const Site& site = lm.model->sites().find(stream, layer);
      if (site.layer != layer || site.axes.size() != 3)
        throw ConfigError("streams: '" + stream + "' is not a value [batch, pos, feature] of every layer");
    }
  }
}

std::string shown(const models::LanguageModel& lm, std::int64_t id) {
  return lm.tokenizer ? text::valid_utf8(lm.tokenizer->token_text(id)) : std::to_string(id);
}

// What the model and the options say of a trace.
void describe(CausalTrace& trace, const models::LanguageModel& lm, const CausalTraceOptions& options) {
  const models::Model& model = *lm.model;
  trace.dtype = c10::getDtypeNames(model.dtype()).first;
  trace.seed = options.seed;
  trace.samples = options.samples;
  const torch::Tensor embedding = model.token_embedding();
  if (!options.noise && !embedding.defined())
    throw ModelError("noise: this model has no token embedding to take the noise's size from; give a number");
  trace.noise = options.noise ? *options.noise : 3 * embedding.to(torch::kFloat32).std().item<double>();
  if (!std::isfinite(trace.noise) || trace.noise <= 0)
    throw ConfigError("noise: expected a positive number, got " + std::to_string(trace.noise));
  model.check({torch::tensor(trace.token_ids, torch::kInt64).to(model.device()).unsqueeze(0), {}, {}, {}});
}

// What can be said of a trace before the model runs; `target_id` counts where `options` has a target.
CausalTrace begun(const models::LanguageModel& lm, const std::string& prompt, const CausalTraceOptions& options) {
  if (!lm.tokenizer)
    throw ConfigError("causal tracing of a text needs a tokenizer, which this model has not; give token ids (--ids)");
  check(lm, options);
  if (!options.subject_positions.empty() || options.target_id)
    throw ConfigError(
        "subject_positions and target_id go with a prompt of token ids; a text has a subject and a target");
  const std::vector<text::Token> tokens = lm.tokenizer->tokens(prompt);
  if (tokens.empty()) throw ConfigError("prompt: expected a text of at least one token");
  CausalTrace trace;
  trace.prompt = prompt;
  trace.subject = options.subject;
  for (const text::Token& token : tokens) {
    trace.token_ids.push_back(token.id);
    trace.tokens.push_back(shown(lm, token.id));
  }
  trace.subject_positions = subject_positions(
      tokens, subject_begin(prompt, options.subject, options.occurrence, trace.tokens), options.subject, trace.tokens);
  describe(trace, lm, options);
  if (options.target) trace.target_id = target_token(*lm.tokenizer, prompt, trace.token_ids, *options.target);
  return trace;
}

// The same of a prompt of token ids.
CausalTrace begun(const models::LanguageModel& lm, const std::vector<std::int64_t>& prompt,
                  const CausalTraceOptions& options) {
  check(lm, options);
  if (!options.subject.empty() || options.target)
    throw ConfigError("subject and target are texts; a prompt of token ids has subject_positions and a target_id");
  const auto count = static_cast<std::int64_t>(prompt.size());
  if (options.subject_positions.empty())
    throw ConfigError("subject_positions: which of the " + std::to_string(count) + " tokens are noised must be said");
  CausalTrace trace;
  trace.token_ids = prompt;
  for (std::int64_t position : options.subject_positions) {
    if (position < -count || position >= count) {
      throw ConfigError("subject_positions: there is no position " + std::to_string(position) + " in a prompt of " +
                        std::to_string(count) + " tokens");
    }
    trace.subject_positions.push_back(position < 0 ? position + count : position);
  }
  std::sort(trace.subject_positions.begin(), trace.subject_positions.end());
  if (std::adjacent_find(trace.subject_positions.begin(), trace.subject_positions.end()) !=
      trace.subject_positions.end())
    throw ConfigError("subject_positions: a position is given twice");
  if (static_cast<std::int64_t>(trace.subject_positions.size()) == count)
    throw ConfigError("subject_positions: they are the whole prompt, so nothing is left to restore");
  const std::int64_t vocabulary = lm.model->vocabulary_size();
  if (options.target_id && (*options.target_id < 0 || *options.target_id >= vocabulary)) {
    throw ConfigError("target_id: " + std::to_string(*options.target_id) + " is outside the vocabulary of " +
                      std::to_string(vocabulary));
  }
  describe(trace, lm, options);
  if (options.target_id) trace.target_id = *options.target_id;
  for (const std::int64_t id : prompt) {
    trace.tokens.push_back(shown(lm, id));
    trace.prompt += (lm.tokenizer || trace.prompt.empty() ? "" : " ") + trace.tokens.back();
  }
  for (const std::int64_t position : trace.subject_positions) {
    trace.subject +=
        (lm.tokenizer || trace.subject.empty() ? "" : " ") + trace.tokens[static_cast<std::size_t>(position)];
  }
  return trace;
}

double mean_of(const torch::Tensor& values) {
  return values.to(torch::kFloat64).mean().item<double>();
}

}  // namespace

std::int64_t usual_window(std::int64_t layers) {
  return std::max<std::int64_t>(1, (2 * layers + 5) / 10);  // rounded
}

std::pair<std::int64_t, std::int64_t> restored_layers(std::int64_t layer, std::int64_t window, std::int64_t layers) {
  return {std::max<std::int64_t>(0, layer - window / 2), std::min(layers, layer + (window + 1) / 2)};
}

namespace {

CausalTrace traced(CausalTrace trace, bool has_target, const models::LanguageModel& lm,
                   const CausalTraceOptions& options) {
  models::Model& model = *lm.model;
  const auto positions = static_cast<std::int64_t>(trace.token_ids.size());
  const auto subject_tokens = static_cast<std::int64_t>(trace.subject_positions.size());
  const std::int64_t layers = model.layer_count();
  const std::int64_t wide = options.window > 0 ? options.window : usual_window(layers);
  const torch::Tensor ids = torch::tensor(trace.token_ids, torch::kInt64).to(model.device()).unsqueeze(0);
  const torch::NoGradGuard no_grad;
  models::ForwardOptions last;
  last.last_logits = 1;
  // Also where the target is given: a model without a head is told so here.
  const torch::Tensor clean =
      detail::needed_logits(model.forward({ids, {}, {}, {}}, last).logits, model, "causal tracing");
  if (!has_target) trace.target_id = clean.flatten().argmax().item<std::int64_t>();
  trace.target = shown(lm, trace.target_id);

  Sweep sweep;
  sweep.source = models::Batch{ids, {}, {}, {}};
  sweep.base.input_ids = ids.expand({options.samples, positions}).contiguous();
  RepresentationConfig noise;
  noise.component = "embedding";
  noise.intervention_type = "addition";
  sweep.background.add_intervention(noise);
  sweep.background_locations = at(trace.subject_positions);
  sweep.background_sources.push_back(
      (numpy_randn(options.seed, {options.samples, subject_tokens, model.hidden_size()}) * trace.noise)
          .to(model.device(), model.dtype()));
  for (const std::string& stream : options.streams) {
    const std::int64_t window = stream == "block_output" ? 1 : wide;
    const std::size_t first_representation = sweep.config.representations.size();
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      RepresentationConfig restored;
      restored.component = stream;
      restored.layer = layer;
      restored.intervention_type = "vanilla";
      sweep.config.add_intervention(restored);
    }
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      const auto [begin, end] = restored_layers(layer, window, layers);
      for (std::int64_t position = 0; position < positions; ++position) {
        for (std::int64_t sample = 0; sample < options.samples; ++sample) {
          Cell cell{sample, {}};
          for (std::int64_t restored = begin; restored < end; ++restored) {
            cell.writes.push_back({first_representation + static_cast<std::size_t>(restored), {position}, {}, {}});
          }
          sweep.cells.push_back(std::move(cell));
        }
      }
    }
  }
  const std::int64_t target = trace.target_id;
  const SweepMetric probability = [target](const torch::Tensor& logits) {
    return torch::softmax(logits.select(1, -1).to(torch::kFloat64), -1).select(1, target);
  };
  SweepOptions sweep_options;
  sweep_options.progress = options.progress;
  sweep_options.rows_per_batch = options.rows_per_batch;
  const SweepResult result = run_sweep(sweep, lm.model, probability, sweep_options);
  trace.clean = mean_of(result.source);
  trace.corrupted = mean_of(result.background);
  const torch::Tensor values =
      result.values.view({static_cast<std::int64_t>(options.streams.size()), layers, positions, options.samples})
          .mean(3);
  for (std::size_t s = 0; s < options.streams.size(); ++s) {
    const std::int64_t window = options.streams[s] == "block_output" ? 1 : wide;
    trace.streams.push_back({options.streams[s], window, values[static_cast<std::int64_t>(s)].contiguous()});
  }
  return trace;
}

}  // namespace

CausalTrace causal_trace(const models::LanguageModel& lm, const std::string& prompt,
                         const CausalTraceOptions& options) {
  return traced(begun(lm, prompt, options), options.target.has_value(), lm, options);
}

CausalTrace causal_trace(const models::LanguageModel& lm, const std::vector<std::int64_t>& prompt,
                         const CausalTraceOptions& options) {
  return traced(begun(lm, prompt, options), options.target_id.has_value(), lm, options);
}

std::string trace_csv(const CausalTrace& trace) {
  std::ostringstream csv;
  csv << "stream,layer,position,token,probability\n" << std::setprecision(9);
  for (const CausalTrace::Stream& stream : trace.streams) {
    const auto values = stream.probability.accessor<double, 2>();
    for (std::int64_t layer = 0; layer < values.size(0); ++layer) {
      for (std::int64_t position = 0; position < values.size(1); ++position) {
        csv << stream.component << ',' << layer << ',' << position << ',' << csv_field(trace.tokens[position]) << ','
            << values[layer][position] << '\n';
      }
    }
  }
  return csv.str();
}

void detail::check_causal_trace(const models::LanguageModel& model, const std::string& prompt,
                                const CausalTraceOptions& options) {
  (void)begun(model, prompt, options);
}

std::string trace_json(const CausalTrace& trace) {
  nlohmann::ordered_json json;
  json["vene_version"] = build_info().version;
  json.update(detail::trace_object(trace));
  return detail::written_json(json) + "\n";
}

detail::OrderedJson detail::trace_object(const CausalTrace& trace) {
  OrderedJson json;
  if (!trace.model.empty()) json["model"] = trace.model;
  json["dtype"] = trace.dtype;
  json["prompt"] = trace.prompt;
  json["subject"] = trace.subject;
  json["token_ids"] = trace.token_ids;
  json["tokens"] = trace.tokens;
  json["subject_positions"] = trace.subject_positions;
  json["target"] = trace.target;
  json["target_id"] = trace.target_id;
  json["noise"] = trace.noise;
  json["seed"] = trace.seed;
  json["samples"] = trace.samples;
  json["clean"] = trace.clean;
  json["corrupted"] = trace.corrupted;
  for (const CausalTrace::Stream& stream : trace.streams) {
    OrderedJson entry;
    entry["component"] = stream.component;
    entry["window"] = stream.window;
    const auto values = stream.probability.accessor<double, 2>();
    for (std::int64_t layer = 0; layer < values.size(0); ++layer) {
      std::vector<double> row;
      for (std::int64_t position = 0; position < values.size(1); ++position) row.push_back(values[layer][position]);
      entry["probability"].push_back(row);
    }
    json["streams"].push_back(entry);
  }
  return json;
}

}  // namespace vene
