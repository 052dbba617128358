// SPDX-License-Identifier: Apache-2.0
// The list of interventions, and those without weights. Numerics follow pyvene's classes of the same names.
#include <map>
#include <mutex>

#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/interventions/autoencoder.h"
#include "vene/interventions/intervention.h"
#include "vene/interventions/numpy_random.h"
#include "vene/interventions/pca.h"
#include "vene/interventions/registry.h"
#include "vene/interventions/rotated.h"

namespace vene {
namespace {

// vanilla, addition, subtraction: the source's columns in place of, added to, taken from the base's.
class Swap : public Intervention {
 public:
  Swap(const InterventionSettings& settings, SwapMode mode) : Intervention(settings), mode_(mode) {}
  Traits traits() const override { return {}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override {
    return swap(base, source, subspace, mode_, interchange_dim);
  }

 private:
  SwapMode mode_;
};

class Zero : public Intervention {
 public:
  using Intervention::Intervention;
  Traits traits() const override { return {.needs_source = false}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor&, const Subspace& subspace) override {
    return swap(base, torch::zeros_like(base), subspace, SwapMode::kInterchange, interchange_dim);
  }
};

class Collect : public Intervention {
 public:
  using Intervention::Intervention;
  Traits traits() const override { return {.needs_source = false, .collects = true}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor&, const Subspace& subspace) override {
    return swap(base, {}, subspace, SwapMode::kCollect, interchange_dim);
  }
};

class Skip : public Intervention {
 public:
  using Intervention::Intervention;
  Traits traits() const override { return {.source_is_module_input = true}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override {
    return swap(base, source, subspace, SwapMode::kInterchange, interchange_dim);
  }
};

class Noise : public Intervention {
 public:
  explicit Noise(const InterventionSettings& settings)
      : Intervention(settings), level_(std::get<double>(settings.options.at("level"))) {
    const std::int64_t seed = std::get<std::int64_t>(settings.options.at("seed"));
    if (seed < 0 || seed > 0xffffffffLL)
      throw ConfigError("noise: seed is " + std::to_string(seed) + ", expected 0 to 4294967295 as numpy does");
    seed_ = static_cast<std::uint32_t>(seed);
  }
  Traits traits() const override { return {.needs_source = false}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor&, const Subspace& subspace) override {
    // One draw of [1, units, width]: the same in every row and, as pyvene's, in every head. Outside a run nothing says
    // which axis the heads are on; four axes are [batch, heads, units, width], as units "h.pos" are.
    const Firing* firing = detail::firing_or_null();
    const std::int64_t heads = firing != nullptr ? firing->head_axis : base.dim() == 4 ? 1 : 0;
    std::vector<std::int64_t> shape = base.sizes().vec();
    shape[0] = 1;
    if (heads > 0) shape.erase(shape.begin() + heads);
    torch::Tensor noise = drawn(shape, base.options());
    if (heads > 0) noise = noise.unsqueeze(heads);
    return swap(base, noise, subspace, SwapMode::kAdd, interchange_dim);
  }

 private:
  // Times the level, kept where it is used; of a generation's many shapes the latest.
  torch::Tensor drawn(const std::vector<std::int64_t>& shape, const torch::TensorOptions& options) {
    constexpr std::size_t kMost = 64;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (drawn_.size() > kMost) drawn_.clear();
    torch::Tensor& drawn = drawn_[shape];
    const bool fits = drawn.defined() && drawn.device() == options.device() && drawn.dtype() == options.dtype();
    if (!fits) drawn = (numpy_randn(seed_, shape) * level_).to(options.requires_grad(false));
    return drawn;
  }
  double level_;
  std::uint32_t seed_;
  std::mutex mutex_;
  std::map<std::vector<std::int64_t>, torch::Tensor> drawn_;
};

// An option that is a number, or a number a column, as a tensor that goes with a value.
class Numbers {
 public:
  // Nothing where the option is not given.
  Numbers(const InterventionSettings& settings, const char* name)
      : name_(name), given_(std::get<torch::Tensor>(settings.options.at(name))) {
    if (!given()) return;
    if (given_.dim() > 1) {
      throw ConfigError(std::string(name) + " has shape " + shape_text(given_.sizes()) +
                        ", expected a number or a number a column");
    }
    if (given_.dim() == 1 && settings.width > 0 && settings.width % given_.size(0) != 0)
      throw ConfigError(misfit(settings.width));
  }
  bool given() const { return given_.defined(); }
  const torch::Tensor& values() const { return given_; }
  // Kept where it is used, so that a device is not waited for again.
  torch::Tensor for_value(const torch::Tensor& base) {
    if (given_.dim() == 1 && given_.size(0) != base.size(-1)) throw PlanError(misfit(base.size(-1)));
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool fits = kept_.defined() && kept_.device() == base.device() && kept_.dtype() == base.dtype();
    if (!fits) kept_ = given_.to(base.options().requires_grad(false));
    return kept_;
  }

 private:
  std::string misfit(std::int64_t width) const {
    return name_ + " has " + std::to_string(given_.size(0)) + " numbers, expected one, or one a column (" +
           std::to_string(width) + ")";
  }
  std::string name_;
  torch::Tensor given_, kept_;
  std::mutex mutex_;
};

class Scale : public Intervention {
 public:
  explicit Scale(const InterventionSettings& settings) : Intervention(settings), factor_(settings, "factor") {}
  Traits traits() const override { return {.needs_source = false}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor&, const Subspace& subspace) override {
    return swap(base, base * factor_.for_value(base), subspace, SwapMode::kInterchange, interchange_dim);
  }

 private:
  Numbers factor_;
};

class Clamp : public Intervention {
 public:
  explicit Clamp(const InterventionSettings& settings)
      : Intervention(settings), minimum_(settings, "minimum"), maximum_(settings, "maximum") {
    if (!minimum_.given() && !maximum_.given()) throw ConfigError("clamp needs minimum, maximum, or both");
    if (minimum_.given() && maximum_.given() && minimum_.values().dim() == 1 && maximum_.values().dim() == 1 &&
        minimum_.values().size(0) != maximum_.values().size(0)) {
      throw ConfigError("minimum has " + std::to_string(minimum_.values().size(0)) + " numbers, maximum " +
                        std::to_string(maximum_.values().size(0)));
    }
    if (minimum_.given() && maximum_.given() && (minimum_.values() > maximum_.values()).any().item<bool>())
      throw ConfigError("minimum is above maximum");
  }
  Traits traits() const override { return {.needs_source = false}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor&, const Subspace& subspace) override {
    torch::Tensor clamped = base;
    if (minimum_.given()) clamped = torch::maximum(clamped, minimum_.for_value(base));
    if (maximum_.given()) clamped = torch::minimum(clamped, maximum_.for_value(base));
    return swap(base, clamped, subspace, SwapMode::kInterchange, interchange_dim);
  }

 private:
  Numbers minimum_, maximum_;
};

class Set : public Intervention {
 public:
  explicit Set(const InterventionSettings& settings) : Intervention(settings), value_(settings, "value") {}
  Traits traits() const override { return {.needs_source = false}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor&, const Subspace& subspace) override {
    return swap(base, value_.for_value(base).expand_as(base), subspace, SwapMode::kInterchange, interchange_dim);
  }

 private:
  Numbers value_;
};

template <class T>
std::shared_ptr<Intervention> build(const InterventionSettings& settings) {
  return std::make_shared<T>(settings);
}

auto build_swap(SwapMode mode) {
  return [mode](const InterventionSettings& settings) -> std::shared_ptr<Intervention> {
    return std::make_shared<Swap>(settings, mode);
  };
}

auto build_rotated(bool low_rank) {
  return [low_rank](const InterventionSettings& settings) -> std::shared_ptr<Intervention> {
    return std::make_shared<RotatedSpace>(settings, low_rank);
  };
}

OptionInfo seed() {
  return {"seed", OptionType::kInteger, OptionValue(std::int64_t{-1}),
          "Seed of the starting weights; -1 draws them from LibTorch's global generator."};
}
OptionInfo map() {
  return {"map", OptionType::kString, OptionValue(std::string("auto")),
          "How parameters become a rotation: householder, matrix_exponential, cayley, or auto for the fastest."};
}
OptionInfo bound(const std::string& name, const std::string& what) {
  return {name, OptionType::kTensor, OptionValue(torch::Tensor()),
          "The " + what + " that it may be: a number, or a number a column; without it there is no such bound."};
}
OptionInfo latents() {
  return {"latents", OptionType::kTensor, OptionValue(torch::Tensor()),
          "The latents to exchange; without it all, or as many leading ones as intervention_dimensions says."};
}
OptionInfo temperature(double value) {
  return {"temperature", OptionType::kNumber, OptionValue(value),
          "Softness of the mask: lower is sharper; a constant, which a training schedule may move."};
}

}  // namespace

void register_builtin_interventions(InterventionRegistry& registry) {
  registry.add({"vanilla",
                "Interchange: the source's value in place of the base's.",
                {},
                build_swap(SwapMode::kInterchange),
                {"VanillaIntervention", "interchange"}});
  registry.add({"addition", "Adds the source's value.", {}, build_swap(SwapMode::kAdd), {"AdditionIntervention"}});
  registry.add({"subtraction",
                "Takes the source's value away.",
                {},
                build_swap(SwapMode::kSubtract),
                {"SubtractionIntervention"}});
  registry.add({"zero", "Zeros the value.", {}, build<Zero>, {"ZeroIntervention"}});
  registry.add({"scale",
                "Multiplies the value: 0 takes it out, 1 leaves it, -1 turns it round.",
                {{"factor", OptionType::kTensor, std::nullopt, "A number, or a number a column."}},
                build<Scale>,
                {}});
  registry.add({"clamp",
                "Keeps the value within bounds.",
                {bound("minimum", "least"), bound("maximum", "most")},
                build<Clamp>,
                {}});
  registry.add({"set",
                "A constant in place of the value.",
                {{"value", OptionType::kTensor, std::nullopt, "A number, or a number a column."}},
                build<Set>,
                {}});
  registry.add({"collect",
                "Reads the value and changes nothing; sees what was written before it.",
                {},
                build<Collect>,
                {"CollectIntervention"}});
  registry.add(
      {"skip",
       "The input of the site's module, as the source run had it, in place of its output (of its input, at an input).",
       {},
       build<Skip>,
       {"SkipIntervention"}});
  registry.add({"noise",
                "Adds numpy's RandomState(seed).randn(1, units, width) times a level, the same in every row and head.",
                {{"seed", OptionType::kInteger, OptionValue(std::int64_t{1}), "Seed of numpy's RandomState."},
                 {"level", OptionType::kNumber, OptionValue(0.13462981581687927),
                  "What the standard normal draws are multiplied by."}},
                build<Noise>,
                {"NoiseIntervention"}});
  registry.add({"rotated_space",
                "Interchange in a learned basis, over the columns that subspaces or intervention_dimensions name "
                "(distributed alignment search).",
                {map(), seed()},
                build_rotated(false),
                {"RotatedSpaceIntervention"}});
  registry.add({"low_rank_rotated_space",
                "Interchange in a learned subspace of low_rank_dimension directions.",
                {map(), seed()},
                build_rotated(true),
                {"LowRankRotatedSpaceIntervention"}});
  registry.add(
      {"directions",
       "Interchange along single learned directions, of which subspaces name those of each row; without subspaces all.",
       {{"count", OptionType::kInteger, OptionValue(std::int64_t{1}), "How many directions there are."}, seed()},
       build<Directions>,
       {}});
  registry.add({"boundless_rotated_space",
                "Interchange in a learned basis, over a learned number of its columns.",
                {map(), seed(), temperature(50)},
                build<BoundlessRotatedSpace>,
                {"BoundlessRotatedSpaceIntervention"}});
  registry.add({"sigmoid_mask_rotated_space",
                "Interchange in a learned basis under a learned mask over its columns.",
                {map(), seed(), temperature(50)},
                build<SigmoidMaskRotatedSpace>,
                {"SigmoidMaskRotatedSpaceIntervention"}});
  registry.add({"sigmoid_mask",
                "Interchange under a learned mask over the value's own columns.",
                {temperature(0.01)},
                build<SigmoidMask>,
                {"SigmoidMaskIntervention"}});
  registry.add({"pca_rotated_space",
                "Interchange along the principal components (low_rank_dimension of them) that were fitted to collected "
                "activations.",
                {{"standardize", OptionType::kBool, OptionValue(true),
                  "Whether a fit divides by the standard deviation of each column."}},
                build<PCARotatedSpace>,
                {"PCARotatedSpaceIntervention"}});
  registry.add({"autoencoder",
                "Interchange of the latents (latent_dim of them) of a learned autoencoder.",
                {latents(), seed()},
                build<Autoencoder>,
                {"AutoencoderIntervention"}});
  registry.add({"jump_relu_autoencoder",
                "Interchange of the latents of a JumpReLU sparse autoencoder.",
                {{"weights", OptionType::kString, OptionValue(std::string()),
                  "A .safetensors or .npz file with W_enc, W_dec, b_enc, b_dec and threshold, looked up from the "
                  "folder of the config.",
                  true},
                 latents()},
                build<JumpReLUAutoencoder>,
                {"JumpReLUAutoencoderIntervention"}});
}

}  // namespace vene
