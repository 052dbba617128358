// SPDX-License-Identifier: Apache-2.0
#include "src/train/locate_names.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "src/text/unicode.h"
#include "src/train/shuffle.h"
#include "vene/base/error.h"

namespace vene::detail {
namespace {

using torch::Tensor;
using Ids = std::vector<std::int64_t>;

constexpr std::string_view kPlace = "[name]";
constexpr std::size_t kRowsAtOnce = 256;

// A name in its text.
struct Row {
  std::string name;
  std::size_t group;  // its class
  Ids ids;
  std::int64_t first = -1, last = -1;  // the name's tokens
  std::pair<Ids, Ids> around() const {
    return {Ids(ids.begin(), ids.begin() + first), Ids(ids.begin() + last + 1, ids.end())};
  }
};

std::string filled(const std::string& text, const std::string& name) {
  return std::string(text).replace(text.find(kPlace), kPlace.size(), name);
}

Row row_of(const text::Tokenizer& tokenizer, const std::string& text, std::size_t group, const std::string& name) {
  const auto begin = static_cast<std::int64_t>(text.find(kPlace)), end = begin + static_cast<std::int64_t>(name.size());
  Row row{name, group, {}};
  std::vector<bool> blank;
  for (const text::Token& token : tokenizer.tokens(filled(text, name))) {
    const auto index = static_cast<std::int64_t>(row.ids.size());
    row.ids.push_back(token.id);
    blank.push_back(!token.text.empty() && token.text.find_first_not_of(' ') == std::string::npos);
    // A token that goes on into the text behind the name belongs to that text, which then is not the others'.
    if (token.begin >= end || token.end <= begin || token.end > end) continue;
    if (row.first < 0) row.first = index;
    row.last = index;
  }
  // SentencePiece may put the space in front of a word in a token of its own, for some names and not for others: it is
  // the name's.
  while (row.first > 0 && blank[static_cast<std::size_t>(row.first - 1)]) --row.first;
  return row;
}

// Takes out the rows that do not stand between the tokens that most do.
std::vector<Row> take_unaligned(std::vector<Row>& rows) {
  std::map<std::pair<Ids, Ids>, std::size_t> counts;
  for (const Row& row : rows) {
    if (row.first >= 0) ++counts[row.around()];
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto bad = std::stable_partition(rows.begin(), rows.end(),
                                         [&](const Row& row) { return row.first >= 0 && row.around() == most->first; });
  std::vector<Row> taken(bad, rows.end());
  rows.erase(bad, rows.end());
  return taken;
}

std::int64_t answer_token(const text::Tokenizer& tokenizer, const LocateTask::Class& group, const std::string& text,
                          const Ids& ids) {
  const std::string where = "answers." + group.name + ": '" + group.answer + "' ";
  const Ids whole = tokenizer.encode(text + group.answer);
  if (whole.size() <= ids.size() || !std::equal(ids.begin(), ids.end(), whole.begin())) {
    throw ConfigError(
        where +
        "does not go on from the template token by token; give it as it follows there, such as ' he' with its space");
  }
  if (whole.size() == ids.size() + 1) return whole.back();
  std::string pieces;
  for (std::size_t i = ids.size(); i < whole.size(); ++i)
    pieces += (pieces.empty() ? "'" : ", '") + text::valid_utf8(tokenizer.token_text(whole[i])) + "'";
  throw ConfigError(where + "is " + std::to_string(whole.size() - ids.size()) + " tokens (" + pieces +
                    "), expected one");
}

models::Batch batch_of(const std::vector<Row>& rows, torch::Device device) {
  std::size_t longest = 0, shortest = rows[0].ids.size();
  for (const Row& row : rows) {
    longest = std::max(longest, row.ids.size());
    shortest = std::min(shortest, row.ids.size());
  }
  Tensor ids =
      torch::zeros({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(longest)}, torch::kInt64);
  Tensor mask = torch::zeros_like(ids);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto from = static_cast<std::int64_t>(longest - rows[r].ids.size()), row = static_cast<std::int64_t>(r);
    ids[row].slice(0, from).copy_(torch::tensor(rows[r].ids, torch::kInt64));
    mask[row].slice(0, from).fill_(1);
  }
  return models::Batch{ids, shortest == longest ? Tensor() : mask, {}, {}}.to(device);
}

// Which class's answer the model puts after each row.
std::vector<std::size_t> answered(models::Model& model, const std::vector<Row>& rows, const Ids& answers) {
  const torch::NoGradGuard no_grad;
  std::vector<std::size_t> groups;
  models::ForwardOptions last;
  last.last_logits = 1;
  const Tensor tokens = torch::tensor(answers, torch::kInt64).to(model.device());
  for (std::size_t from = 0; from < rows.size(); from += kRowsAtOnce) {
    const std::vector<Row> some(rows.begin() + static_cast<std::ptrdiff_t>(from),
                                rows.begin() + static_cast<std::ptrdiff_t>(std::min(rows.size(), from + kRowsAtOnce)));
    const Tensor logits = model.forward(batch_of(some, model.device()), last).logits;
    if (!logits.defined() || logits.dim() != 3)
      throw ModelError("locate: expected a language model with a head, whose logits are [batch, pos, vocabulary]");
    const Tensor best = logits.select(1, -1).index_select(1, tokens).argmax(1).to(torch::kCPU);
    for (std::int64_t i = 0; i < best.numel(); ++i)
      groups.push_back(static_cast<std::size_t>(best[i].item<std::int64_t>()));
  }
  return groups;
}

// The rows of each class in a seeded order, the first ones to test on.
void split(NamedRows& named, LocateResult& result) {
  for (std::size_t group = 0; group < result.classes.size(); ++group) {
    LocateResult::Class& entry = result.classes[group];
    Ids rows;
    for (std::size_t r = 0; r < named.names.size(); ++r) {
      if (named.classes[r] == static_cast<std::int64_t>(group)) rows.push_back(static_cast<std::int64_t>(r));
    }
    if (rows.size() < 2) {
      throw ConfigError("classes." + entry.name + ": expected at least two names that can be used, " +
                        std::to_string(rows.size()) + " of " + std::to_string(result.task.classes[group].names.size()) +
                        " can (" + std::to_string(entry.unaligned.size()) +
                        " have other tokens around them than most names, after " +
                        std::to_string(entry.mistaken.size()) + " the model puts another class's answer)");
    }
    shuffle(rows, result.options.seed + group);
    const auto count = static_cast<double>(rows.size());
    const auto tests =
        static_cast<std::size_t>(std::clamp(std::round(count * result.options.test_share), 1.0, count - 1));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      (i < tests ? named.test : named.train).push_back(rows[i]);
      (i < tests ? entry.test : entry.train).push_back(named.names[static_cast<std::size_t>(rows[i])]);
    }
  }
}

}  // namespace

NamedRows named_rows(const models::LanguageModel& lm, LocateResult& result) {
  if (!lm.tokenizer) throw ConfigError("locate reads texts, and this model has no tokenizer");
  const LocateTask& task = result.task;
  std::vector<Row> rows;
  for (std::size_t group = 0; group < task.classes.size(); ++group) {
    result.classes.push_back({task.classes[group].name, task.classes[group].answer, 0, {}, {}, {}, {}});
    for (const std::string& name : task.classes[group].names)
      rows.push_back(row_of(*lm.tokenizer, task.text, group, name));
  }
  const std::vector<Row> all = rows;
  for (const Row& row : take_unaligned(rows)) result.classes[row.group].unaligned.push_back(row.name);

  NamedRows named;
  for (std::size_t group = 0; group < task.classes.size(); ++group) {
    const Row& row =
        *std::find_if(all.begin(), all.end(), [&](const Row& candidate) { return candidate.group == group; });
    const std::int64_t token = answer_token(*lm.tokenizer, task.classes[group], filled(task.text, row.name), row.ids);
    const auto same = std::find(named.answers.begin(), named.answers.end(), token);
    if (same != named.answers.end()) {
      throw ConfigError("answers: those of '" +
                        task.classes[static_cast<std::size_t>(same - named.answers.begin())].name + "' and '" +
                        task.classes[group].name + "' are the same token");
    }
    named.answers.push_back(token);
    result.classes[group].answer_id = token;
  }
  const std::vector<std::size_t> groups = answered(*lm.model, rows, named.answers);
  std::vector<Row> used;
  std::size_t right = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const bool correct = groups[r] == rows[r].group;
    if (correct) ++right;
    if (!correct) result.classes[rows[r].group].mistaken.push_back(rows[r].name);
    if (correct || result.options.keep_mistaken) used.push_back(rows[r]);
  }
  result.clean_accuracy = rows.empty() ? 0 : static_cast<double>(right) / static_cast<double>(rows.size());
  for (const Row& row : used) {
    named.names.push_back(row.name);
    named.classes.push_back(static_cast<std::int64_t>(row.group));
  }
  split(named, result);
  named.batch = batch_of(used, lm.model->device());
  const auto [before, after] = used[0].around();
  named.before = static_cast<std::int64_t>(before.size());
  for (const std::int64_t id : before) named.tokens.push_back(text::valid_utf8(lm.tokenizer->token_text(id)));
  named.tokens.emplace_back(kPlace);
  for (const std::int64_t id : after) named.tokens.push_back(text::valid_utf8(lm.tokenizer->token_text(id)));
  result.tokens = named.tokens;
  result.name_column = named.before;
  return named;
}

std::vector<std::pair<std::int64_t, std::int64_t>> pairs_of(const std::vector<std::int64_t>& rows,
                                                            const std::vector<std::int64_t>& classes, std::int64_t most,
                                                            std::uint64_t seed) {
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs;
  for (const std::int64_t base : rows) {
    for (const std::int64_t source : rows) {
      if (classes[static_cast<std::size_t>(base)] != classes[static_cast<std::size_t>(source)])
        pairs.emplace_back(base, source);
    }
  }
  shuffle(pairs, seed);
  if (static_cast<std::int64_t>(pairs.size()) > most) pairs.resize(static_cast<std::size_t>(most));
  return pairs;
}

}  // namespace vene::detail
