// SPDX-License-Identifier: Apache-2.0
#include "models/common/rotary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <mutex>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::models {
namespace {

torch::Tensor stretched(const torch::Tensor& frequencies, const RopeStretch& stretch) {
  const auto original = static_cast<double>(stretch.original_max_position_embeddings);
  const torch::Tensor wavelength = 2 * M_PI / frequencies;
  const torch::Tensor smooth =
      (original / wavelength - stretch.low_freq_factor) / (stretch.high_freq_factor - stretch.low_freq_factor);
  const torch::Tensor between = (1 - smooth) * frequencies / stretch.factor + smooth * frequencies;
  const torch::Tensor is_long = wavelength > original / stretch.low_freq_factor;
  const torch::Tensor is_short = wavelength < original / stretch.high_freq_factor;
  return torch::where(is_long, frequencies / stretch.factor, torch::where(is_short, frequencies, between));
}

// What of YaRN's mixing falls on each pair: 0 where the frequency stays, 1 where it is divided.
torch::Tensor yarn_ramp(const YarnStretch& yarn, double theta, std::int64_t turned) {
  const auto size = static_cast<double>(turned);
  const auto feature = [&](double turns) {
    return size * std::log(static_cast<double>(yarn.original_max_position_embeddings) / (turns * 2 * M_PI)) /
           (2 * std::log(theta));
  };
  double low = feature(yarn.beta_fast), high = feature(yarn.beta_slow);
  if (yarn.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, size - 1);
  if (low == high) high += 0.001;
  return ((torch::arange(turned / 2, torch::kFloat32) - low) / (high - low)).clamp(0, 1);
}

std::int64_t turned_features(const RotaryOptions& options, std::int64_t head_dim) {
  if (options.proportional) return 2 * static_cast<std::int64_t>(options.partial * static_cast<double>(head_dim) / 2);
  return static_cast<std::int64_t>(static_cast<double>(head_dim) * options.partial);
}

torch::Tensor exponents(std::int64_t turned, std::int64_t whole) {
  return torch::arange(0, turned, 2, torch::kInt64).to(torch::kFloat32) / static_cast<double>(whole);
}

torch::Tensor divided(const torch::Tensor& frequencies, const std::vector<double>& factors, const char* name) {
  if (static_cast<std::int64_t>(factors.size()) != frequencies.numel()) {
    throw ModelError(std::string(name) + ": expected " + std::to_string(frequencies.numel()) +
                     " numbers, one a pair of turned features, got " + std::to_string(factors.size()));
  }
  return frequencies / torch::tensor(factors, torch::kFloat64).to(torch::kFloat32);
}

}  // namespace

torch::Tensor rotary_frequencies(const RotaryOptions& options, std::int64_t head_dim) {
  const std::int64_t turned = turned_features(options, head_dim);
  if (turned <= 0 || turned > head_dim || turned % 2 != 0) {
    throw ModelError("rotary positions turn pairs of features, and " + std::to_string(turned) + " of a head's " +
                     std::to_string(head_dim) + " cannot be paired");
  }
  torch::Tensor frequencies =
      1.0 / torch::pow(options.theta, exponents(turned, options.proportional ? head_dim : turned)) / options.factor;
  if (options.proportional) frequencies = torch::cat({frequencies, torch::zeros({(head_dim - turned) / 2})});
  if (options.stretch) return stretched(frequencies, *options.stretch);
  if (options.long_rope) return divided(frequencies, options.long_rope->short_factor, "short_factor");
  if (!options.yarn) return frequencies;
  const torch::Tensor ramp = yarn_ramp(*options.yarn, options.theta, turned);
  return frequencies / options.yarn->factor * ramp + frequencies * (1 - ramp);
}

struct OnDevice::Kept {
  torch::Tensor made, elsewhere;
  std::mutex mutex;
};

OnDevice::OnDevice(torch::Tensor value) : kept_(std::make_shared<Kept>()) {
  kept_->made = std::move(value);
}

torch::Tensor OnDevice::operator()(torch::Device device) const {
  if (!kept_->made.defined() || kept_->made.device() == device) return kept_->made;
  const std::lock_guard<std::mutex> lock(kept_->mutex);
  if (!kept_->elsewhere.defined() || kept_->elsewhere.device() != device) kept_->elsewhere = kept_->made.to(device);
  return kept_->elsewhere;
}

Turning::Turning(const RotaryOptions& options, std::int64_t head_dim)
    : options_(options), frequencies_(rotary_frequencies(options, head_dim)), on_device_(frequencies_) {
  const std::int64_t turned = turned_features(options, head_dim);
  if (options.long_rope) {
    RotaryOptions plain = options;
    plain.long_rope.reset();
    of_long_rows_ =
        OnDevice(divided(rotary_frequencies(plain, head_dim), options.long_rope->long_factor, "long_factor"));
  }
  if (!options.dynamic) return;
  if (turned < 4) throw ModelError("rope_type 'dynamic' needs more than one pair of turned features");
  exponents_ = OnDevice(exponents(turned, turned));
}

torch::Tensor Turning::frequencies(const torch::Tensor& position_ids) const {
  const torch::Device device = position_ids.device();
  if (!options_.long_rope && !options_.dynamic) return on_device_(device);
  const torch::Tensor length = (std::get<0>(position_ids.max(1, true)) + 1).unsqueeze(-1);  // [batch, 1, 1]
  if (options_.long_rope) {
    return torch::where(length > options_.long_rope->original_max_position_embeddings, of_long_rows_(device),
                        on_device_(device));
  }
  const auto longest = static_cast<double>(options_.dynamic->max_position_embeddings);
  const auto turned = static_cast<double>(2 * frequencies_.numel());
  const torch::Tensor growth =
      options_.dynamic->factor * length.to(torch::kFloat32) / longest - (options_.dynamic->factor - 1);
  const torch::Tensor theta = options_.theta * torch::pow(growth.clamp_min(1), turned / (turned - 2));
  return torch::where(length > options_.dynamic->max_position_embeddings, 1.0 / torch::pow(theta, exponents_(device)),
                      on_device_(device));
}

Angles rotary_angles(const torch::Tensor& position_ids, const torch::Tensor& frequencies, torch::ScalarType dtype,
                     double factor) {
  const torch::Tensor half = position_ids.to(torch::kFloat32).unsqueeze(-1) *
                             frequencies.to(position_ids.device());  // [batch, pos, turned / 2]
  const torch::Tensor whole = torch::cat({half, half}, -1).unsqueeze(1);
  if (factor == 1) return {whole.cos().to(dtype), whole.sin().to(dtype)};
  return {(whole.cos() * factor).to(dtype), (whole.sin() * factor).to(dtype)};
}

torch::Tensor rotate(const torch::Tensor& value, const Angles& angles) {
  const std::int64_t turned = angles.first.size(-1), rest = value.size(-1) - turned;
  const torch::Tensor part = rest == 0 ? value : value.narrow(-1, 0, turned);
  const std::vector<torch::Tensor> halves = part.chunk(2, -1);
  const torch::Tensor result =
      (part * angles.first + torch::cat({-halves[1], halves[0]}, -1) * angles.second).to(value.scalar_type());
  return rest == 0 ? result : torch::cat({result, value.narrow(-1, turned, rest)}, -1);
}

namespace {

std::string number_text(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.10g", value);
  return text.data();
}

constexpr std::array<const char*, 7> kTypes{"default",  "linear", "dynamic",     "yarn",
                                            "longrope", "llama3", "proportional"};

// The context that the model was made with, from where transformers takes it: beside the object, in it, or the whole.
std::int64_t original_context(const ConfigReader& config, const ConfigReader& rope, std::int64_t context) {
  constexpr const char* kField = "original_max_position_embeddings";
  const std::int64_t inside = rope.integer(kField, 0), outside = config.integer(kField, 0);
  if (inside != 0 && outside != 0 && inside != outside) {
    throw ModelError(rope.where() + ": field '" + kField + "' is " + std::to_string(inside) + ", and " +
                     std::to_string(outside) + " beside it; expected one of them, or the same");
  }
  const std::int64_t original = outside != 0 ? outside : inside != 0 ? inside : context;
  if (original <= 0)
    throw ModelError(rope.where() + ": field '" + kField + "': expected a positive number, got " +
                     std::to_string(original));
  return original;
}

double factor_of(const ConfigReader& rope, std::int64_t context, std::int64_t original) {
  return rope.has("factor") ? rope.positive("factor") : static_cast<double>(context) / static_cast<double>(original);
}

void read_yarn(const ConfigReader& config, const ConfigReader& rope, std::int64_t context, RotaryOptions& options) {
  YarnStretch yarn;
  yarn.original_max_position_embeddings = original_context(config, rope, context);
  yarn.factor = factor_of(rope, context, yarn.original_max_position_embeddings);
  const auto or_else = [&](const char* field, double otherwise) {  // 0 is none, as it is there
    const double given = rope.number(field, 0);
    return given == 0 ? otherwise : rope.positive(field);
  };
  yarn.beta_fast = or_else("beta_fast", yarn.beta_fast);
  yarn.beta_slow = or_else("beta_slow", yarn.beta_slow);
  yarn.truncate = rope.boolean("truncate", true);
  const auto scale = [&](double share) { return yarn.factor <= 1 ? 1.0 : 0.1 * share * std::log(yarn.factor) + 1; };
  const double one = rope.number("mscale", 0), all = rope.number("mscale_all_dim", 0);
  options.attention_factor = one != 0 && all != 0 ? scale(one) / scale(all) : scale(1);
  if (rope.has("attention_factor")) options.attention_factor = rope.positive("attention_factor");
  options.yarn = yarn;
}

void read_long_rope(const ConfigReader& config, const ConfigReader& rope, std::int64_t context,
                    RotaryOptions& options) {
  LongRope read;
  read.original_max_position_embeddings = original_context(config, rope, context);
  read.short_factor = rope.numbers("short_factor");
  read.long_factor = rope.numbers("long_factor");
  const double factor = factor_of(rope, context, read.original_max_position_embeddings);
  options.attention_factor =
      factor <= 1
          ? 1
          : std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(read.original_max_position_embeddings)));
  if (rope.has("attention_factor")) options.attention_factor = rope.positive("attention_factor");
  options.long_rope = std::move(read);
}

void read_llama3(const ConfigReader& config, const ConfigReader& rope, std::int64_t context, RotaryOptions& options) {
  RopeStretch stretch;
  stretch.factor = rope.positive("factor");
  stretch.low_freq_factor = rope.positive("low_freq_factor");
  stretch.high_freq_factor = rope.positive("high_freq_factor");
  stretch.original_max_position_embeddings = original_context(config, rope, context);
  if (stretch.high_freq_factor == stretch.low_freq_factor)
    throw ModelError(rope.where() + ": low_freq_factor and high_freq_factor are the same");
  options.stretch = stretch;
}

// One of the two objects.
RotaryOptions read_rope(const ConfigReader& config, const ConfigReader& rope, std::int64_t context,
                        RotaryOptions options, const RotaryFieldNames& names) {
  if (rope.has("rope_theta")) {
    const double inside = rope.positive("rope_theta");
    if (config.has(names.theta) && options.theta != inside) {
      throw ModelError(rope.where() + ": field 'rope_theta' is " + number_text(inside) + ", and '" + names.theta +
                       "' beside it is " + number_text(options.theta) + "; expected one of them, or the same");
    }
    options.theta = inside;
  }
  for (const char* kind : {"full_attention", "sliding_attention"}) {
    if (rope.has(kind))
      throw ModelError(rope.where() + ": field '" + kind +
                       "': rotary positions that differ from layer to layer are not supported");
  }
  const std::string type = rope.text("rope_type", rope.text("type", "default"));
  if (rope.has("type") && rope.text("type") != type) {
    throw ModelError(rope.where() + ": rope_type is '" + type + "' and type is '" + rope.text("type") +
                     "'; expected one of them, or the same");
  }
  options.proportional = type == "proportional";
  const double partial = rope.number("partial_rotary_factor", options.partial);
  if (names.partial.empty() && partial != options.partial && !options.proportional) {
    throw ModelError(rope.where() + ": field 'partial_rotary_factor' is " + std::to_string(partial) +
                     ", which is not supported; expected 1 or none");
  }
  options.partial = partial;
  if (type == "linear") options.factor = rope.positive("factor");
  if (type == "proportional" && rope.has("factor")) options.factor = rope.positive("factor");
  if (type == "dynamic") options.dynamic = DynamicRope{rope.positive("factor"), context};
  if (type == "yarn") read_yarn(config, rope, context, options);
  if (type == "longrope") read_long_rope(config, rope, context, options);
  if (type == "llama3") read_llama3(config, rope, context, options);
  if (std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) {
    throw ModelError(rope.where() + ": rope_type '" + type + "' is not supported" +
                     name_hint(type, {kTypes.begin(), kTypes.end()}));
  }
  return options;
}

}  // namespace

RotaryOptions read_rotary(const ConfigReader& config, std::int64_t context, RotaryOptions options,
                          const RotaryFieldNames& names) {
  if (config.has(names.theta)) options.theta = config.positive(names.theta);
  if (!names.partial.empty()) options.partial = config.number(names.partial, options.partial);
  const auto now = config.object("rope_parameters"), before = config.object("rope_scaling");
  if (!now && !before) return options;
  const RotaryOptions read = read_rope(config, now ? *now : *before, context, options, names);
  if (now && before && !(read == read_rope(config, *before, context, options, names))) {
    throw ModelError(config.where() +
                     ": rope_parameters and rope_scaling contradict each other; expected one of them, or the same");
  }
  return read;
}

}  // namespace vene::models
