// SPDX-License-Identifier: Apache-2.0
#include "src/cli/prediction.h"

#include <algorithm>
#include <cstdio>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string token_text(const models::LanguageModel& lm, std::int64_t id) {
  return lm.tokenizer && id < lm.tokenizer->size() ? lm.tokenizer->token_text(id) : std::to_string(id);
}

// Where a row's own text has the chosen position, padding counted; -1 for logits that have no positions.
std::int64_t place_of(const models::Batch& base, std::int64_t row, std::int64_t position, const torch::Tensor& logits) {
  if (logits.dim() == 2) return -1;
  const std::int64_t all = logits.size(1);
  torch::Tensor own = torch::arange(all, torch::kInt64);
  if (base.attention_mask.defined() && base.attention_mask.size(1) == all)
    own = base.attention_mask[row].to(torch::kCPU).nonzero().flatten();
  const std::int64_t at = position < 0 ? own.size(0) + position : position;
  if (at < 0 || at >= own.size(0)) {
    throw PlanError("--position " + std::to_string(position) + " is not in row " + std::to_string(row) +
                    " of the base, which has " + std::to_string(own.size(0)) + " tokens");
  }
  return own[at].item<std::int64_t>();
}

torch::Tensor probabilities(const torch::Tensor& logits, std::int64_t row, std::int64_t place) {
  const torch::Tensor at = place < 0 ? logits[row] : logits[row][place];
  return torch::softmax(at.to(torch::kCPU, torch::kFloat64), -1);
}

Json token_json(const torch::Tensor& values, std::int64_t id, const models::LanguageModel& lm) {
  return {{"id", id}, {"token", token_text(lm, id)}, {"probability", values[id].item<double>()}};
}

std::string quoted(const Json& token) {
  return token.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, characters(text)), ' ');
}

}  // namespace

void PredictionChoice::add_to(CLI::App& command) {
  command.add_option("--top", top, "Print the K most probable next tokens of each row, original beside intervened")
      ->check(CLI::Range(1, 1000))
      ->type_name("K");
  command
      .add_option("--probability", tokens,
                  "Print this token's probability, original beside intervened, such as ' Rome'; may be given again")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command
      .add_option(
          "--position", position,
          "Where in each row's own text the two look: 0 is its first token, -1 its last, which says what comes next")
      ->option_text("N=-1");
}

void PredictionChoice::refuse_idle(bool plan_only) const {
  if (plan_only && any()) throw ConfigError("--top and --probability look at a run, and --plan runs nothing");
  if (position && !any()) throw ConfigError("--position: nothing looks at a position; give --top or --probability");
}

std::vector<std::int64_t> chosen_tokens(const PredictionChoice& choice, const models::LanguageModel& lm) {
  std::vector<std::int64_t> chosen;
  for (const std::string& text : choice.tokens) {
    if (!lm.tokenizer)
      throw ConfigError("--probability: this model has no tokenizer, so no token is called '" + text + "'");
    const std::vector<std::int64_t> ids = lm.tokenizer->encode(text, /*special=*/false);
    if (ids.size() != 1) {
      std::vector<std::string> pieces;
      for (const std::int64_t id : ids) pieces.push_back("'" + lm.tokenizer->token_text(id) + "'");
      throw ConfigError("--probability: expected one token, and '" + text + "' is " + std::to_string(ids.size()) +
                        " tokens here" + (pieces.empty() ? "" : ": " + join(pieces)));
    }
    chosen.push_back(ids[0]);
  }
  return chosen;
}

Json predictions(const Result& result, const models::Batch& base, const models::LanguageModel& lm,
                 const PredictionChoice& choice, const std::vector<std::int64_t>& tokens) {
  const torch::Tensor& logits = result.intervened.logits;
  if (!logits.defined()) {
    throw PlanError(
        "--top and --probability ask for logits, and this experiment gives none (\"collect_only\", or a model without "
        "a "
        "head)");
  }
  const bool original = result.original && result.original->logits.defined();
  Json rows = Json::array();
  for (std::int64_t row = 0; row < logits.size(0); ++row) {
    const std::int64_t place = place_of(base, row, choice.position.value_or(-1), logits);
    const torch::Tensor after = probabilities(logits, row, place);
    const torch::Tensor before = original ? probabilities(result.original->logits, row, place) : torch::Tensor();
    Json entry{{"row", row}};
    if (place >= 0) entry["position"] = place;
    if (choice.top > 0) {
      const std::int64_t count = std::min(choice.top, after.size(0));
      const torch::Tensor best_after = std::get<1>(after.topk(count));
      const torch::Tensor best_before = original ? std::get<1>(before.topk(count)) : torch::Tensor();
      for (std::int64_t rank = 0; rank < count; ++rank) {
        Json pair;
        if (original) pair["original"] = token_json(before, best_before[rank].item<std::int64_t>(), lm);
        pair["intervened"] = token_json(after, best_after[rank].item<std::int64_t>(), lm);
        entry["top"].push_back(pair);
      }
    }
    for (const std::int64_t id : tokens) {
      Json one{{"token", token_text(lm, id)}, {"id", id}};
      if (original) one["original"] = before[id].item<double>();
      one["intervened"] = after[id].item<double>();
      entry["probabilities"].push_back(one);
    }
    rows.push_back(entry);
  }
  return rows;
}

std::string predictions_text(const Json& rows) {
  std::string text;
  for (const Json& row : rows) {
    const std::string indent = rows.size() > 1 ? "    " : "  ";
    if (rows.size() > 1) text += "  row " + row["row"].dump() + "\n";
    // Probability and token of the one run, then of the other.
    const auto cell = [](const Json& token) {
      return padded(number(token["probability"].get<double>()), 11) + quoted(token["token"]);
    };
    if (row.contains("top")) {
      const bool original = row["top"][0].contains("original");
      std::size_t width = 24;
      for (const Json& pair : row["top"]) {
        if (original) width = std::max(width, characters(cell(pair["original"])) + 3);
      }
      text += indent + (original ? padded("original", width) : "") + "intervened\n";
      for (const Json& pair : row["top"])
        text += indent + (original ? padded(cell(pair["original"]), width) : "") + cell(pair["intervened"]) + "\n";
    }
    if (!row.contains("probabilities")) continue;
    for (const Json& one : row["probabilities"]) {
      text += indent + "P(" + quoted(one["token"]) + "): ";
      if (one.contains("original")) text += number(one["original"].get<double>()) + " -> ";
      text += number(one["intervened"].get<double>()) + "\n";
    }
  }
  return text;
}

}  // namespace vene::cli
