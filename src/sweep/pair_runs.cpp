// SPDX-License-Identifier: Apache-2.0
#include "src/sweep/pair_runs.h"

#include <algorithm>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::detail {
namespace {

// Bytes that a run of pairs may keep of its base rows and its sources.
constexpr std::int64_t kKept = std::int64_t{1} << 30;

}  // namespace

PairRuns::PairRuns(std::vector<PromptPair> pairs, AnswerMetric metric, models::Model& model)
    : pairs_(std::move(pairs)), metric_(metric), device_(model.device()) {
  for (const PromptPair& pair : pairs_)
    width_ = std::max(
        {width_, static_cast<std::int64_t>(pair.clean.size()), static_cast<std::int64_t>(pair.corrupt.size())});
  clean_ = batch(true);
  const bool both = !pairs_.front().corrupt.empty();
  if (both) corrupt_ = batch(false);
  for (const PromptPair& pair : pairs_) {
    columns_.push_back(column(pair, true));
    if (both) columns_.push_back(column(pair, false));
  }
  std::sort(columns_.begin(), columns_.end());
  columns_.erase(std::unique(columns_.begin(), columns_.end()), columns_.end());
  if (metric_ != AnswerMetric::kKl) return;
  models::ForwardOptions last;
  last.last_logits = width_ - columns_.front();
  const torch::Tensor logits = model.forward(clean_, last).logits;
  std::vector<torch::Tensor> rows;
  for (std::size_t i = 0; i < pairs_.size(); ++i)
    rows.push_back(logits[static_cast<std::int64_t>(i)][column(pairs_[i], true) - columns_.front()]);
  reference_ = torch::log_softmax(torch::stack(rows).to(torch::kFloat64), -1);
}

models::Batch PairRuns::batch(bool clean) const {
  const auto rows = static_cast<std::int64_t>(pairs_.size());
  torch::Tensor ids = torch::zeros({rows, width_}, torch::kInt64), mask = torch::zeros({rows, width_}, torch::kInt64);
  for (std::int64_t row = 0; row < rows; ++row) {
    const PromptPair& pair = pairs_[static_cast<std::size_t>(row)];
    const std::vector<std::int64_t>& text = clean ? pair.clean : pair.corrupt;
    const auto length = static_cast<std::int64_t>(text.size());
    ids[row].slice(0, width_ - length).copy_(torch::tensor(text, torch::kInt64));
    mask[row].slice(0, width_ - length).fill_(1);
  }
  const bool padded = mask.eq(0).any().item<bool>();
  return {ids.to(device_), padded ? mask.to(device_) : torch::Tensor(), {}, {}};
}

std::int64_t PairRuns::column(const PromptPair& pair, bool clean) const {
  const auto length = static_cast<std::int64_t>((clean ? pair.clean : pair.corrupt).size());
  return width_ + pair.answer_position - (pair.answer_position < 0 ? 0 : length);
}

SweepRowMetric PairRuns::metric(bool base_is_clean) const {
  return [this, base_is_clean](const torch::Tensor& logits, const SweepRows& rows) {
    const bool clean = rows.source != base_is_clean;
    std::vector<std::int64_t> at, right, wrong;
    for (const std::int64_t row : rows.rows) {
      const PromptPair& pair = pairs_[static_cast<std::size_t>(row)];
      at.push_back(std::lower_bound(columns_.begin(), columns_.end(), column(pair, clean)) - columns_.begin());
      right.push_back(pair.answers.empty() ? 0 : pair.answers[0]);
      wrong.push_back(pair.answers.size() < 2 ? 0 : pair.answers[1]);
    }
    const auto on_device = [&](const std::vector<std::int64_t>& list) {
      return torch::tensor(list, torch::kInt64).to(logits.device());
    };
    const torch::Tensor here =
        logits.size(1) == 1
            ? logits.select(1, 0)
            : logits.gather(1, on_device(at).view({-1, 1, 1}).expand({-1, 1, logits.size(2)})).select(1, 0);
    const auto of = [&](const torch::Tensor& values, const std::vector<std::int64_t>& tokens) {
      return values.gather(1, on_device(tokens).unsqueeze(1)).squeeze(1).to(torch::kFloat64);
    };
    switch (metric_) {
      case AnswerMetric::kLogitDifference:
        return of(here, right) - of(here, wrong);
      case AnswerMetric::kRank:
        return (here > here.gather(1, on_device(right).unsqueeze(1))).sum(1).to(torch::kFloat64);
      case AnswerMetric::kProbability:
        return of(torch::softmax(here.to(torch::kFloat64), -1), right);
      case AnswerMetric::kLogProbability:
        return of(torch::log_softmax(here.to(torch::kFloat64), -1), right);
      case AnswerMetric::kKl:
        break;
    }
    const torch::Tensor was = reference_.index_select(0, on_device(rows.rows));
    return (was.exp() * (was - torch::log_softmax(here.to(torch::kFloat64), -1))).sum(1);
  };
}

void check_metric(const std::vector<PromptPair>& pairs, AnswerMetric metric) {
  const std::size_t needed = metric == AnswerMetric::kKl ? 0 : metric == AnswerMetric::kLogitDifference ? 2 : 1;
  for (const PromptPair& pair : pairs) {
    if (pair.answers.size() < needed)
      throw ConfigError(pair.where + ": the metric " + name_of(metric) + " needs " +
                        (needed == 2 ? "a right and a wrong answer" : "an answer") + ", got " +
                        std::to_string(pair.answers.size()) + (pair.answers.size() == 1 ? " answer" : " answers"));
  }
}

std::vector<std::vector<PromptPair>> in_chunks(const std::vector<PromptPair>& pairs, const models::Model& model,
                                               std::size_t sites) {
  std::size_t longest = 1;
  for (const PromptPair& pair : pairs) longest = std::max({longest, pair.clean.size(), pair.corrupt.size()});
  const auto bytes = static_cast<std::int64_t>(torch::elementSize(model.dtype()));
  // What goes into each block, keys and values; and what is read of the source.
  const std::int64_t values = 3 * model.layer_count() + static_cast<std::int64_t>(sites);
  const std::int64_t a_pair = static_cast<std::int64_t>(longest) * model.hidden_size() * bytes * values;
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(1, kKept / std::max<std::int64_t>(1, a_pair)));
  std::vector<std::vector<PromptPair>> chunks;
  for (std::size_t begin = 0; begin < pairs.size(); begin += most)
    chunks.emplace_back(pairs.begin() + static_cast<std::ptrdiff_t>(begin),
                        pairs.begin() + static_cast<std::ptrdiff_t>(std::min(begin + most, pairs.size())));
  return chunks;
}

std::string head_component(const models::Model& model, const std::string& component) {
  const auto split = [&](const std::string& name) {
    return std::any_of(model.sites().all().begin(), model.sites().all().end(),
                       [&](const Site& site) { return site.component == name && site.heads > 0; });
  };
  if (split(component)) return component;
  const std::string apart = component == "attention_output" ? "head_attention_value_output" : "head_" + component;
  if (split(apart)) return apart;
  std::vector<std::string> known;
  for (const std::string& name : model.sites().components()) {
    if (split(name)) known.push_back(name);
  }
  throw ConfigError("components: '" + component + "' is not cut into heads" + name_hint(apart, known));
}

}  // namespace vene::detail
