// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>

#include <any>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "vene/base/export.h"
#include "vene/interventions/option.h"
#include "vene/interventions/subspace.h"

namespace vene {

/// What the library must know of an intervention before it runs one.
struct Traits {
  bool needs_source = true;         ///< works with a value of a source run (or a constant in its place)
  bool takes_source = false;        ///< uses a source where one is given, and does without where none is
  bool collects = false;            ///< reads only: what it returns is collected, the model's value stays
  bool source_is_module_input = false;  ///< the source is the *input* of the site's module in the source run (skip)
  bool trainable = false;           ///< has parameters meant to be learned
  bool flattens_units = false;      ///< sees [batch, units * width] instead of [batch, units..., width]
};

/// What an intervention is built from: the fields of its RepresentationConfig that concern it.
struct InterventionSettings {
  std::int64_t width = 0;  ///< size of the feature axis times max_number_of_units; 0: not known before the run
  std::optional<std::int64_t> low_rank_dimension;
  std::optional<std::int64_t> latent_dim;
  SubspacePartition subspace_partition;
  torch::Tensor source_representation;  ///< constant source; undefined: none
  OptionValues options;                 ///< complete: defaults filled in, types checked
};

/// What happens to the values gathered at a site. A module, so that parameters and buffers move, save and train with the
/// IntervenableModel that owns it. Stateless between calls and never in place.
class VENE_API Intervention : public torch::nn::Module {
 public:
  explicit Intervention(const InterventionSettings& settings = {});

  virtual Traits traits() const = 0;
  /// @param base      [batch, units..., width], the values found at the locations ([batch, width] for unit "t")
  /// @param source    the same shape, or undefined if the intervention needs none or none was given
  /// @param subspace  the columns to act on
  /// @return the new values in base's shape; for one that collects, what to collect; undefined: leave them alone
  virtual torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) = 0;

  /// Constant source of this intervention: takes the place of a source run. Undefined: none.
  const torch::Tensor& source_representation() const { return source_representation_; }
  void set_source_representation(torch::Tensor value);
  const SubspacePartition& subspace_partition() const { return subspace_partition_; }
  /// Without subspaces only the first so many columns are touched; empty: all.
  std::optional<std::int64_t> interchange_dim;

 protected:
  torch::Tensor source_representation_;
  SubspacePartition subspace_partition_;
};

/// The firing that an intervention serves: for those that act by step, or keep something from step to step.
struct Firing {
  std::int64_t call = 0;      ///< of the site in this run: 0, 1, 2 ... (time steps, decoding steps)
  torch::Tensor rows;         ///< int64, the rows of the batch that base holds; undefined: all of them
  std::any* state = nullptr;  ///< this representation's own; empty when a run begins, kept until it ends
};
/// Of this thread, inside Intervention::forward. PlanError outside a run.
VENE_API const Firing& current_firing();

namespace detail {
/// Set by a run around each call of an intervention.
class VENE_API FiringGuard {
 public:
  explicit FiringGuard(Firing firing);
  ~FiringGuard();
  FiringGuard(const FiringGuard&) = delete;
  FiringGuard& operator=(const FiringGuard&) = delete;

 private:
  Firing firing_;
  const Firing* outer_;
};
}  // namespace detail

/// How `swap` combines the chosen columns of base and source.
enum class SwapMode : std::uint8_t { kInterchange, kAdd, kSubtract, kCollect };

/// The routine that most interventions share: base with its chosen columns replaced by (or added to, less) the source's;
/// kCollect returns the chosen columns alone. Out of place. Row i's columns apply to row i. A source with one row, one
/// unit or one vector is broadcast; any other mismatch throws PlanError. Source:
/// pyvene's _do_intervention_by_swap.
VENE_API torch::Tensor swap(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace, SwapMode mode,
                            std::optional<std::int64_t> interchange_dim = std::nullopt);

/// An intervention out of a function `Tensor(base, source, subspace)`; returning an undefined tensor leaves the value
/// alone. It cannot be saved.
using InterventionFunction = std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&, const Subspace&)>;
VENE_API std::shared_ptr<Intervention> make_lambda(InterventionFunction function, Traits traits = {.needs_source = false, .takes_source = true});

}  // namespace vene
