// SPDX-License-Identifier: Apache-2.0
#include "vene/sweep/pairs.h"

#include <torch/types.h>

#include <algorithm>
#include <array>

#include "src/base/at_place.h"
#include "src/base/json_reader.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/files.h"

namespace vene {
namespace {

using detail::Json;
using detail::JsonReader;

constexpr std::array<std::string_view, 5> kMetrics{"logit_diff", "prob", "logprob", "kl", "rank"};

const text::Tokenizer& tokenizer_of(const models::LanguageModel& model) {
  if (!model.tokenizer) throw ModelError("this model has no tokenizer; give token ids");
  return *model.tokenizer;
}

std::int64_t answer_of(const models::LanguageModel& model, const std::string& text) {
  const text::Tokenizer& tokenizer = tokenizer_of(model);
  const std::vector<std::int64_t> ids = tokenizer.encode(text, /*special=*/false);
  if (ids.size() != 1) {
    std::vector<std::string> pieces;
    for (const std::int64_t id : ids) pieces.push_back("'" + tokenizer.token_text(id) + "'");
    throw ConfigError("expected an answer of one token, and '" + text + "' is " + std::to_string(ids.size()) +
                      " tokens here" + (pieces.empty() ? "" : ": " + join(pieces)));
  }
  return ids[0];
}

void check_tokens(const models::LanguageModel& model, const std::vector<std::int64_t>& ids, const std::string& where) {
  detail::at_place(where, [&] {
    if (ids.empty()) throw ConfigError("expected a text of at least one token");
    model.model->check({torch::tensor(ids, torch::kInt64).unsqueeze(0).to(model.model->device()), {}, {}, {}});
    return 0;
  });
}

void check_position(std::int64_t position, const std::vector<std::int64_t>& ids, const std::string& where,
                    const std::string& which) {
  const auto count = static_cast<std::int64_t>(ids.size());
  if (position < -count || position >= count)
    throw ConfigError(where + ": position " + std::to_string(position) + " is out of range: the " + which +
                      " text has " + std::to_string(count) + " tokens");
}

void check_pair(const PromptPair& pair, const models::LanguageModel& model) {
  check_tokens(model, pair.clean, pair.where + ": clean");
  const bool both = !pair.corrupt.empty();
  if (both) check_tokens(model, pair.corrupt, pair.where + ": corrupt");
  const std::int64_t vocabulary = model.model->vocabulary_size();
  for (std::size_t i = 0; i < pair.answers.size(); ++i) {
    if (pair.answers[i] < 0 || pair.answers[i] >= vocabulary)
      throw ConfigError(pair.where + ": answers[" + std::to_string(i) + "]: token " + std::to_string(pair.answers[i]) +
                        " is outside the model's vocabulary of " + std::to_string(vocabulary));
  }
  if (pair.answers.size() == 2 && pair.answers[0] == pair.answers[1])
    throw ConfigError(pair.where + ": answers: the right one and the wrong one are the same token, " +
                      std::to_string(pair.answers[0]));
  check_position(pair.answer_position, pair.clean, pair.where + ": answer_position", "clean");
  if (both) check_position(pair.answer_position, pair.corrupt, pair.where + ": answer_position", "corrupt");
  for (const PromptPair::Place& place : pair.positions) {
    const std::string where = pair.where + ": positions." + place.name;
    check_position(place.clean, pair.clean, where, "clean");
    if (both) check_position(place.corrupt, pair.corrupt, where, "corrupt");
  }
}

std::vector<std::int64_t> tokens_of(const JsonReader& json, const models::LanguageModel& model) {
  if (!json.json().is_string()) return json.integers("a text or a list of token ids", "a token id");
  return detail::at_place(json.path(), [&] { return tokenizer_of(model).encode(json.text()); });
}

PromptPair read_pair(JsonReader json, const models::LanguageModel& model) {
  json.expect_object(R"({"clean": "...", "corrupt": "...", "answers": [" right", " wrong"]})");
  PromptPair pair;
  pair.where = json.path();
  pair.clean = tokens_of(json.at("clean"), model);
  if (const auto corrupt = json.find("corrupt")) {
    pair.corrupt = tokens_of(*corrupt, model);
    if (pair.corrupt.empty()) corrupt->expected("a text of at least one token");
  }
  if (const auto answers = json.find("answers")) {
    const std::string expected = "the right answer and the wrong one, or the right one alone";
    for (const JsonReader& answer : answers->each(expected)) {
      pair.answers.push_back(answer.json().is_string()
                                 ? detail::at_place(answer.path(), [&] { return answer_of(model, answer.text()); })
                                 : answer.integer("a text or a token id"));
    }
    if (pair.answers.empty() || pair.answers.size() > 2) answers->expected(expected);
  }
  if (const auto position = json.find("answer_position")) pair.answer_position = position->integer("a position");
  if (const auto positions = json.find("positions")) {
    positions->expect_object(R"({"subject": 3})");
    for (const auto& [name, value] : positions->json().items()) {
      const JsonReader place(value, positions->path() + "." + name);
      if (place.is_integer()) {
        pair.positions.push_back({name, place.integer(), place.integer()});
        continue;
      }
      const std::string expected = "a position, or one in the clean text and one in the corrupt text";
      const std::vector<std::int64_t> two = place.integers(expected, "a position");
      if (two.size() != 2) place.expected(expected);
      pair.positions.push_back({name, two[0], two[1]});
    }
  }
  json.refuse_others();
  check_pair(pair, model);
  return pair;
}

// The places in the order in which the line names them.
void order_as_written(PromptPair& pair, std::string_view line) {
  if (pair.positions.empty()) return;
  std::string problem;
  const detail::OrderedJson json = detail::read_ordered_json(line, problem);
  std::vector<PromptPair::Place> places;
  for (const auto& [name, value] : json["positions"].items()) {
    const auto place = std::find_if(pair.positions.begin(), pair.positions.end(),
                                    [&](const PromptPair::Place& one) { return one.name == name; });
    places.push_back(*place);
  }
  pair.positions = std::move(places);
}

}  // namespace

PromptPair prompt_pair(const models::LanguageModel& model, const std::string& clean, const std::string& corrupt,
                       const std::vector<std::string>& answers) {
  PromptPair pair;
  pair.where = "pair";
  pair.clean = tokenizer_of(model).encode(clean);
  if (!corrupt.empty()) pair.corrupt = tokenizer_of(model).encode(corrupt);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    pair.answers.push_back(
        detail::at_place("answers[" + std::to_string(i) + "]", [&] { return answer_of(model, answers[i]); }));
  }
  if (answers.size() > 2)
    throw ConfigError("answers: expected the right one and the wrong one, got " + std::to_string(answers.size()));
  check_pair(pair, model);
  return pair;
}

std::vector<PromptPair> parse_pairs(std::string_view lines, const models::LanguageModel& model,
                                    const std::string& name) {
  std::vector<PromptPair> pairs;
  std::size_t at = 0;
  for (std::size_t line = 1; at < lines.size(); ++line) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    const std::string_view row = lines.substr(at, end - at);
    at = end + 1;
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string here = name + ", line " + std::to_string(line);
    const Json json = detail::read_json<ConfigError>(row, here);
    pairs.push_back(read_pair(JsonReader(json, here), model));
    order_as_written(pairs.back(), row);
  }
  if (pairs.empty()) throw ConfigError(name + ": there are no pairs");
  return pairs;
}

std::vector<PromptPair> read_pairs(const std::string& path, const models::LanguageModel& model) {
  return parse_pairs(io::read_file(path), model, path);
}

std::span<const std::string_view> names_of(AnswerMetric) {
  return kMetrics;
}

std::string name_of(AnswerMetric metric) {
  return std::string(kMetrics[static_cast<std::size_t>(metric)]);
}

AnswerMetric parse_answer_metric(const std::string& name) {
  const auto found = std::find(kMetrics.begin(), kMetrics.end(), name);
  if (found == kMetrics.end())
    throw ConfigError("metric: unknown metric '" + name + "'" + name_hint(name, {kMetrics.begin(), kMetrics.end()}));
  return static_cast<AnswerMetric>(found - kMetrics.begin());
}

}  // namespace vene
