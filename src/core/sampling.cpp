// SPDX-License-Identifier: Apache-2.0
#include "src/core/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>
#include <tuple>

#include "src/core/generate_options.h"
#include "vene/base/error.h"

namespace vene::detail {

void check_options(const GenerateOptions& options) {
  const auto fail = [](const OptionText& option, double came) {
    std::ostringstream message;
    message << "generate." << option.name << ": expected " << option.range.expected(came) << ", got " << came;
    throw ConfigError(message.str());
  };
  visit(options, CheckOptions(fail));
  for (const std::string& text : options.stop_texts) {
    if (text.empty()) throw ConfigError("generate.stop_texts: an empty text would end every row at once");
  }
}

void check_stop_tokens(const GenerateOptions& options, std::int64_t vocabulary) {
  for (const std::int64_t token : options.stop_tokens) {
    if (vocabulary > 0 && (token < 0 || token >= vocabulary)) {
      throw ConfigError("generate.stop_tokens: " + std::to_string(token) + " is outside the vocabulary of " +
                        std::to_string(vocabulary));
    }
  }
}

Sampler::Sampler(const GenerateOptions& options, const std::vector<std::vector<std::int64_t>>& prompts)
    : temperature_(options.temperature),
      top_p_(options.top_p),
      penalty_(options.repetition_penalty),
      top_k_(options.top_k) {
  for (std::size_t row = 0; row < prompts.size(); ++row) random_.emplace_back(options.seed + row);
  if (penalty_ == 1) return;
  for (std::vector<std::int64_t> ids : prompts) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    present_.push_back(std::move(ids));
  }
}

namespace {

ModelError not_numbers(std::int64_t row) {
  return ModelError("the logits of row " + std::to_string(row) + " are not numbers (NaN), so no token can be chosen");
}

}  // namespace

// The same choice by operations on whole tensors: nothing but the tokens' ids comes to the host, and it waits once.
std::vector<std::int64_t> Sampler::next_on_device(const torch::Tensor& logits) {
  torch::Tensor scores = logits.to(torch::kFloat32);
  if (penalty_ != 1) {
    if (!seen_.defined()) {
      torch::Tensor seen = torch::zeros(scores.sizes(), torch::kBool);
      for (std::int64_t row = 0; row < scores.size(0); ++row) {
        for (const std::int64_t id : present_[static_cast<std::size_t>(row)])
          seen.data_ptr<bool>()[row * scores.size(1) + id] = true;
      }
      seen_ = seen.to(scores.device());
    }
    const torch::Tensor wide = scores.to(torch::kFloat64);
    const torch::Tensor lowered = torch::where(wide > 0, wide / penalty_, wide * penalty_).to(torch::kFloat32);
    scores = torch::where(seen_, lowered, scores);
  }
  auto [best, ids] = scores.max(-1);
  if (temperature_ > 0) ids = drawn_on_device(scores);
  // The highest of numbers that are not all numbers is none.
  ids = ids.masked_fill(best.isnan(), -1);
  if (penalty_ != 1) seen_.scatter_(1, ids.clamp_min(0).unsqueeze(1), true);
  chosen_ = ids;
  const torch::Tensor read = ids.to(torch::kCPU).contiguous();
  const std::vector<std::int64_t> chosen(read.data_ptr<std::int64_t>(), read.data_ptr<std::int64_t>() + read.numel());
  for (std::size_t row = 0; row < chosen.size(); ++row) {
    if (chosen[row] < 0) throw not_numbers(static_cast<std::int64_t>(row));
  }
  return chosen;
}

// What `draw` does, for all rows at once and from the same random numbers.
torch::Tensor Sampler::drawn_on_device(const torch::Tensor& scores) {
  const std::int64_t count = scores.size(1);
  std::vector<double> random;
  for (std::mt19937_64& own : random_) random.push_back(static_cast<double>(own() >> 11U) * 0x1.0p-53);
  const bool some = top_k_ > 0 && top_k_ < count;
  torch::Tensor values = scores.to(torch::kFloat64), order;
  if (some || top_p_ < 1) std::tie(values, order) = values.sort(/*stable=*/true, -1, /*descending=*/true);
  torch::Tensor weights = ((values - values.amax(-1, true)) / temperature_).exp();
  if (some) weights.narrow(-1, top_k_, count - top_k_).zero_();
  if (top_p_ < 1) {
    const torch::Tensor passed = weights.cumsum(-1), sum = weights.sum(-1, true);
    const torch::Tensor before = torch::cat({torch::zeros_like(sum), passed.narrow(-1, 0, count - 1)}, -1);
    weights = weights.masked_fill(before >= top_p_ * sum, 0);
  }
  if (order.defined()) weights = torch::zeros_like(weights).scatter(-1, order, weights);
  const torch::Tensor passed = weights.cumsum(-1);
  const torch::Tensor drawn =
      torch::tensor(random, torch::kFloat64).to(scores.device()).unsqueeze(1) * passed.narrow(-1, count - 1, 1);
  const torch::Tensor last = ((weights > 0) * torch::arange(count, weights.options().dtype(torch::kInt64))).amax(-1);
  return torch::minimum((passed <= drawn).sum(-1), last);
}

std::vector<std::int64_t> Sampler::next(const torch::Tensor& logits) {
  if (!logits.device().is_cpu()) return next_on_device(logits);
  std::vector<std::int64_t> chosen;
  if (temperature_ == 0 && penalty_ == 1) {
    auto [best, ids] = logits.max(-1);
    best = best.to(torch::kCPU, torch::kFloat32).contiguous();
    ids = ids.to(torch::kCPU).contiguous();
    for (std::int64_t row = 0; row < ids.size(0); ++row) {
      if (std::isnan(best.data_ptr<float>()[row])) throw not_numbers(row);
      chosen.push_back(ids.data_ptr<std::int64_t>()[row]);
    }
    return chosen;
  }
  const torch::Tensor scores =
      logits.to(torch::kCPU, torch::kFloat32, /*non_blocking=*/false, /*copy=*/true).contiguous();
  const std::int64_t count = scores.size(1);
  for (std::int64_t row = 0; row < scores.size(0); ++row) {
    float* values = scores.data_ptr<float>() + row * count;
    if (penalty_ != 1) {
      for (std::int64_t id : present_[row])
        values[id] = static_cast<float>(values[id] > 0 ? values[id] / penalty_ : values[id] * penalty_);
    }
    if (std::any_of(values, values + count, [](float value) { return std::isnan(value); })) throw not_numbers(row);
    const std::int64_t id =
        temperature_ == 0 ? std::max_element(values, values + count) - values : draw(values, count, random_[row]);
    chosen.push_back(id);
    if (penalty_ == 1) continue;
    auto& present = present_[row];
    const auto place = std::lower_bound(present.begin(), present.end(), id);
    if (place == present.end() || *place != id) present.insert(place, id);
  }
  return chosen;
}

std::int64_t Sampler::draw(float* scores, std::int64_t count, std::mt19937_64& random) const {
  std::vector<std::int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  // Best first, and of equal ones the lower id, so that the choice does not hang on how a library sorts.
  auto better = [&](std::int64_t a, std::int64_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; };
  const double highest = *std::max_element(scores, scores + count);
  auto weight = [&](std::int64_t id) { return std::exp((scores[id] - highest) / temperature_); };
  if (top_k_ > 0 && top_k_ < count) {
    std::nth_element(order.begin(), order.begin() + (top_k_ - 1), order.end(), better);
    order.resize(top_k_);
  }
  double sum = 0;
  for (std::int64_t id : order) sum += weight(id);
  if (top_p_ < 1) {
    // A heap gives the best ones in order without sorting the rest.
    auto worse = [&](std::int64_t a, std::int64_t b) { return better(b, a); };
    std::make_heap(order.begin(), order.end(), worse);
    double kept = 0;
    auto end = order.end();
    while (end != order.begin() && kept < top_p_ * sum) {
      std::pop_heap(order.begin(), end, worse);
      kept += weight(*--end);
    }
    order.erase(order.begin(), end);
    sum = kept;
  }
  std::sort(order.begin(), order.end());
  const double drawn = static_cast<double>(random() >> 11U) * 0x1.0p-53 * sum;
  double passed = 0;
  for (std::int64_t id : order) {
    passed += weight(id);
    if (drawn < passed) return id;
  }
  return order.back();
}

}  // namespace vene::detail
