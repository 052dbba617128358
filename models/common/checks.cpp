// SPDX-License-Identifier: Apache-2.0
#include "models/common/checks.h"

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models {
namespace {

thread_local bool trusted = false;

void check_tokens(const torch::Tensor& given, std::int64_t vocabulary) {
  if (!may_look_at(given)) return;
  const torch::Tensor ids = given.to(torch::kCPU);  // at most one wait for a device
  if (ids.min().item<std::int64_t>() >= 0 && ids.max().item<std::int64_t>() < vocabulary) return;
  const torch::Tensor bad = torch::nonzero(ids.lt(0) | ids.ge(vocabulary))[0];
  const auto row = bad[0].item<std::int64_t>(), position = bad[1].item<std::int64_t>();
  throw ModelError("input_ids row " + std::to_string(row) + " position " + std::to_string(position) + ": token id " +
                   std::to_string(ids[row][position].item<std::int64_t>()) + " is outside the vocabulary of " +
                   std::to_string(vocabulary));
}

}  // namespace

TrustedBatches::TrustedBatches() noexcept : outer_(trusted) {
  trusted = true;
}
TrustedBatches::~TrustedBatches() {
  trusted = outer_;
}
bool TrustedBatches::active() noexcept {
  return trusted;
}

bool may_look_at(const torch::Tensor& tensor) {
  return tensor.device().is_cpu() || !trusted;
}

void check_language_batch(const Batch& batch, std::int64_t past, const LanguageModelLimits& limits) {
  const bool by_ids = batch.input_ids.defined();
  if (by_ids == batch.inputs_embeds.defined()) {
    throw ModelError(std::string("a batch needs input_ids or inputs_embeds, got ") + (by_ids ? "both" : "neither"));
  }
  const torch::Tensor& primary = batch.primary();
  const std::string name = by_ids ? "input_ids" : "inputs_embeds";
  if (primary.dim() != (by_ids ? 2 : 3) || (!by_ids && primary.size(2) != limits.width)) {
    throw ModelError(name + ": expected [batch, pos" + (by_ids ? "" : ", " + std::to_string(limits.width)) + "], got " +
                     shape_text(primary.sizes()));
  }
  if (primary.size(0) == 0 || primary.size(1) == 0) {
    throw ModelError(name + ": the batch is empty, its shape is " + shape_text(primary.sizes()));
  }
  const torch::ScalarType type = primary.scalar_type();
  if (by_ids ? type != torch::kInt64 && type != torch::kInt32 : !c10::isFloatingType(type)) {
    throw ModelError(name + ": expected " + (by_ids ? "whole numbers (int64)" : "floating-point values") + ", got " +
                     c10::toString(type));
  }
  if (primary.device() != limits.device) {
    throw ModelError(name + " are on " + primary.device().str() + ", the model is on " + limits.device.str());
  }
  if (batch.attention_mask.defined() && batch.attention_mask.sizes() != primary.sizes().slice(0, 2)) {
    throw ModelError("attention_mask: expected " + shape_text(primary.sizes().slice(0, 2)) + " as " + name + ", got " +
                     shape_text(batch.attention_mask.sizes()));
  }
  if (limits.context > 0 && past + primary.size(1) > limits.context) {
    throw ModelError(name + ": " + std::to_string(primary.size(1)) + " positions" +
                     (past > 0 ? " after " + std::to_string(past) + " in the cache" : "") + " do not fit the model's " +
                     std::to_string(limits.context));
  }
  if (by_ids) check_tokens(primary, limits.vocabulary);
}

void check_positive(std::initializer_list<std::pair<const char*, std::int64_t>> sizes) {
  for (const auto& [name, value] : sizes) {
    if (value <= 0) throw ModelError(std::string(name) + ": expected a positive number, got " + std::to_string(value));
  }
}

void check_multiple(const std::pair<const char*, std::int64_t>& whole,
                    const std::pair<const char*, std::int64_t>& part) {
  if (whole.second % part.second == 0) return;
  throw ModelError(std::string(whole.first) + " " + std::to_string(whole.second) + " is not a multiple of " +
                   part.first + " " + std::to_string(part.second));
}

void check_stages(std::int64_t first, std::int64_t last, std::int64_t layers) {
  if (first < 0 || last < first || last > layers) {
    throw ModelError("layers [" + std::to_string(first) + ", " + std::to_string(last) + ") are not among the model's " +
                     std::to_string(layers));
  }
}

}  // namespace vene::models
